# SPDX-License-Identifier: Apache-2.0
"""Charts as inline SVG, in plain Python: scales, axes, lines, dots with intervals, scatter, boxes of a flow.

Colours are CSS classes of the page (`pocketrec.cloud.report.page`), so that one drawing serves light and dark. The
module knows nothing about recommenders; it gets numbers and labels and returns markup.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

Format = Callable[[float], str]


@dataclass(frozen=True)
class Axis:
    """A linear map from values to pixels, with round ticks."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Pixel of `value`; values outside are drawn at the edge."""
        inside = min(max(value, self.low), self.high)
        return self.start + (inside - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, about: int = 5) -> list[float]:
        """Round values between the ends."""
        step = nice_step((self.high - self.low) / max(1, about))
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [index * step for index in range(first, last + 1)]


def nice_step(rough: float) -> float:
    """The smallest of 1, 2, 2.5, 5, 10 times a power of ten that is at least `rough`."""
    if not rough > 0 or not math.isfinite(rough):
        return 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * (1 - 1e-9))


def span(values: Iterable[float], *, include: Iterable[float] = (), pad: float = 0.06) -> tuple[float, float]:
    """Ends of an axis that shows all finite `values` with a little air."""
    finite = [v for v in (*values, *include) if v is not None and math.isfinite(v)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    if high - low < 1e-12:
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    air = (high - low) * pad
    return low - air, high + air


def compact(value: float) -> str:
    """A short figure: 0.0325, 12.5, 84,488."""
    if not math.isfinite(value):
        return "\u2013"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def tag(name: str, content: str = "", /, **attributes: object) -> str:
    """An element; ``class_`` becomes class and underscores hyphens; `content` is markup already."""
    written = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(_plain(value))}"'
                      for key, value in attributes.items())
    return f"<{name}{written}>{content}</{name}>"


def text(x: float, y: float, content: str, kind: str = "", anchor: str = "start") -> str:
    """A line of text; `content` is plain."""
    return tag("text", escape(content), x=x, y=y, class_=kind or "label", text_anchor=anchor)


def line(x1: float, y1: float, x2: float, y2: float, kind: str = "grid") -> str:
    """A straight line."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=kind)


def dot(x: float, y: float, kind: str, radius: float = 4, title: str = "") -> str:
    """A dot, with a tooltip where `title` is given."""
    return tag("circle", tag("title", escape(title)) if title else "", cx=x, cy=y, r=radius, class_=kind)


def drawing(width: float, height: float, content: str, label: str) -> str:
    """The whole SVG; `label` says in words what is seen, for those who cannot see it."""
    return tag("svg", content, viewBox=f"0 0 {_plain(width)} {_plain(height)}", role="img", aria_label=label,
               style=f"max-width:{_plain(width)}px")


@dataclass(frozen=True)
class Series:
    """One line of a chart."""

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    kind: str


def line_chart(series: Sequence[Series], *, x_label: str, y_label: str, width: float = 440, height: float = 240,
               label: str = "", shape: Format = compact) -> str:
    """Lines over a common x axis, each named at its end."""
    room = 12 + 6.2 * max(len(s.name) for s in series)
    xs = Axis(*span([x for s in series for x in s.xs], pad=0.02), 46, width - room)
    ys = Axis(*span([y for s in series for y in s.ys]), height - 34, 22)
    parts = [_frame(xs, ys, x_label, y_label, shape=shape)]
    ends: list[float] = []
    for entry in series:
        points = [(xs(x), ys(y)) for x, y in zip(entry.xs, entry.ys, strict=True) if math.isfinite(y)]
        if not points:
            continue
        path = " ".join(f"{_plain(x)},{_plain(y)}" for x, y in points)
        parts.append(tag("polyline", points=path, class_=f"line {entry.kind}"))
        parts.append(dot(*points[-1], entry.kind, 3))
        below = points[-1][1]
        while any(abs(below - other) < 13 for other in ends):
            below += 2
        ends.append(below)
        parts.append(text(points[-1][0] + 8, below + 4, entry.name, f"label {entry.kind}"))
    return drawing(width, height, "".join(parts), label or y_label)


@dataclass(frozen=True)
class Estimate:
    """A row of a chart of estimates."""

    name: str
    value: float
    low: float
    high: float
    kind: str
    note: str = ""


def estimates(rows: Sequence[Estimate], *, x_label: str, width: float = 440, zero: bool = False, label: str = "",
              name_room: float = 110, note_room: float = 70, shape: Format = compact) -> str:
    """Dots with intervals, one row each, on a common axis; with `zero`, a line where nothing changes.

    Long names get the room that they need, up to 45 % of the width, and go on in further lines beyond that.
    """
    widest = max(name_room, 0.45 * width)
    names = [_lines(row.name, widest - 14) for row in rows]
    name_room = min(widest, max(name_room, 14 + max((_length(each) for lines in names for each in lines), default=0)))
    steps = [max(28, 8 + 12 * len(lines)) for lines in names]
    height = sum(steps) + 50
    values = [v for row in rows for v in (row.value, row.low, row.high)]
    xs = Axis(*span(values, include=[0.0] if zero else []), name_room, width - note_room)
    bottom = height - 40
    parts = [line(xs(t), 8, xs(t), bottom) + text(xs(t), bottom + 16, shape(t), "tick", "middle") for t in xs.ticks()]
    if zero:
        parts.append(line(xs(0), 8, xs(0), bottom, "zero"))
    parts.append(text((xs.start + xs.end) / 2, height - 6, x_label, "axis", "middle"))
    for index, row in enumerate(rows):
        y = 8 + sum(steps[:index]) + steps[index] / 2
        parts += [text(name_room - 10, y + 4 + 12 * (place - (len(names[index]) - 1) / 2), each, "label", "end")
                  for place, each in enumerate(names[index])]  # fmt: skip
        if math.isfinite(row.low) and math.isfinite(row.high):
            parts.append(line(xs(row.low), y, xs(row.high), y, f"whisker {row.kind}"))
        title = f"{row.name}: {compact(row.value)} ({compact(row.low)} to {compact(row.high)})"
        parts.append(dot(xs(row.value), y, row.kind, 5, title))
        parts.append(text(width - note_room + 10, y + 4, row.note or shape(row.value), "note"))
    return drawing(width, height, "".join(parts), label or x_label)


@dataclass(frozen=True)
class Point:
    """A point of a scatter."""

    x: float
    y: float
    kind: str
    title: str = ""


def scatter(points: Sequence[Point], groups: Sequence[tuple[float, float, float, float, float]], *, x_label: str,
            y_label: str, width: float = 900, height: float = 320, label: str = "") -> str:
    """Points over a logarithmic x axis (x >= 0 drawn at log2(1 + x)), with the mean of each group of x on top.

    Args:
        points: the points.
        groups: (x from, x to, mean, low, high) of each group.
        x_label, y_label: axis titles.
        width, height: pixels.
        label: words for those who cannot see it.
    """
    at = [math.log2(1 + p.x) for p in points]
    xs = Axis(*span(at, pad=0.03), 52, width - 16)
    ys = Axis(*span([p.y for p in points], include=[0.0]), height - 38, 22)
    marks = [v for v in (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)
             if xs.low <= math.log2(1 + v) <= xs.high]
    parts = [line(xs(math.log2(1 + v)), 22, xs(math.log2(1 + v)), ys.start)
             + text(xs(math.log2(1 + v)), ys.start + 16, f"{v:,}", "tick", "middle") for v in marks]
    parts += [_horizontal(xs, ys, shape=signed), line(xs.start, ys(0), xs.end, ys(0), "zero")]
    parts += [text((xs.start + xs.end) / 2, height - 4, x_label, "axis", "middle"), text(4, 12, y_label, "axis")]
    parts += [dot(xs(x), ys(p.y), f"{p.kind} faint", 3.2, p.title) for x, p in zip(at, points, strict=True)]
    for low, high, mean, below, above in groups:
        left, right = xs(math.log2(1 + low)), xs(math.log2(1 + high))
        if math.isfinite(below) and math.isfinite(above):
            top, bottom = ys(above), ys(below)
            parts.append(tag("rect", x=left, y=top, width=max(6.0, right - left), height=max(1.0, bottom - top),
                             class_="band"))
        parts.append(line(left, ys(mean), max(left + 6, right), ys(mean), "mean"))
    return drawing(width, height, "".join(parts), label or y_label)


def signed(value: float) -> str:
    """A difference with its sign; 0 without."""
    return "0" if abs(value) < 1e-12 else f"{value:+.3g}".replace("-", "\u2212")


def _frame(xs: Axis, ys: Axis, x_label: str, y_label: str, shape: Format = compact) -> str:
    ticks = [t for t in xs.ticks(6) if abs(t - round(t)) < 1e-9]
    parts = [text(xs(t), ys.start + 16, compact(t), "tick", "middle") for t in ticks]
    parts.append(_horizontal(xs, ys, shape))
    parts.append(text((xs.start + xs.end) / 2, ys.start + 31, x_label, "axis", "middle"))
    parts.append(text(4, 12, y_label, "axis"))
    return "".join(parts)


def _horizontal(xs: Axis, ys: Axis, shape: Format) -> str:
    return "".join(line(xs.start, ys(t), xs.end, ys(t)) + text(xs.start - 6, ys(t) + 4, shape(t), "tick", "end")
                   for t in ys.ticks())


def _length(words: str) -> float:
    """Pixels that a label takes at most, by the mean width of a letter."""
    return 6.8 * len(words)


def _lines(words: str, room: float) -> list[str]:
    """One line where the words fit; else two, parted at the comma or space nearest to the middle; else as many as are
    needed, each as full as it can be."""
    if _length(words) <= room:
        return [words]
    places = [place for place, letter in enumerate(words) if letter == " "]
    if not places:
        return [words]
    commas = [place for place in places if words[place - 1] == ","] or places
    middle = min(commas, key=lambda place: abs(place - len(words) / 2))
    halves = [words[:middle], words[middle + 1 :]]
    if max(map(_length, halves)) <= room:
        return halves
    lines = [""]
    for word in words.split(" "):
        joined = f"{lines[-1]} {word}".strip()
        if lines[-1] and _length(joined) > room:
            lines.append(word)
        else:
            lines[-1] = joined
    return lines


def _plain(value: object) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
