# SPDX-License-Identifier: Apache-2.0
"""The way of the data as a drawing: what lies before the cut-off on the cloud's side, what after it on the devices'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pocketrec.cloud.report import svg
from pocketrec.cloud.report.words import count, figure, percent, size

_WIDTH, _HEIGHT = 900.0, 262.0
_BOX = (162.0, 78.0)


def flow(metrics: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """The drawing; boxes whose counts are not known stay without them.

    Args:
        metrics: metrics.json.
        settings: config.json; may be empty.
    """
    data = metrics.get("data", {})
    who = "sessions" if data.get("sessions") else "users"
    model = settings.get("model", {})
    personal = metrics["protocol"]["personal"]
    sizes = metrics.get("bytes", {})
    shape = f"{model['backbone']}, E {model['embedding']}, T {model['window']}" if model else ""
    ceiling = metrics.get("ceiling")
    k = metrics.get("candidates", {}).get("k")
    events = data.get("events_before"), data.get("events_after")
    total = count(sum(events)) if None not in events else svg.compact(float("nan"))
    top, bottom = 34.0, 164.0
    columns = [8.0, 246.0, 484.0, 722.0]
    boxes = [
        _box(columns[0], (top + bottom) / 2, "Interaction log", [f"{total} events", _split(settings)], ""),
        _box(columns[1], top, "Before the cut-off", [f"{count(data.get('events_before'))} events",
             f"{count(data.get('users_before'))} {who}, {count(data.get('items'))} items"], "cloud"),
        _box(columns[2], top, "Global model", [shape, f"MRR@20 {figure(metrics['global']['mrr@20'])}"], "cloud"),
        _box(columns[3], top, "Bundle", [f"model.tflite {size(sizes.get('model'))}",
             f"{count(min(k, data.get('items', k)))} candidates a user" if k else ""], "cloud"),
        _box(columns[1], bottom, "After the cut-off", [f"{count(data.get('events_after'))} events",
             f"{count(data.get('users_after'))} sessions" if data.get("sessions") else
             f"{count(data.get('users_old'))} old, {count(data.get('users_new'))} new users"], "device"),
    ]  # fmt: skip
    arrows = [_bend(columns[0], (top + bottom) / 2, columns[1], top),
              _bend(columns[0], (top + bottom) / 2, columns[1], bottom),
              _arrow(columns[1], top, columns[2]), _arrow(columns[2], top, columns[3])]  # fmt: skip
    if personal:
        users = metrics["users"]
        boxes += [
            _box(columns[2], bottom, "Devices learn", [f"{count(users.get('events_learn'))} events of",
                 f"the {count(users['evaluated'])} users judged"], "device"),
            _box(columns[3], bottom, "Recommendations", [f"MRR@20 {figure(metrics['personal']['mrr@20'])}",
                 f"offered: {percent(ceiling)}" if ceiling is not None else ""], "device"),
        ]  # fmt: skip
        arrows += [_arrow(columns[1], bottom, columns[2]), _arrow(columns[2], bottom, columns[3]),
                   _down(columns[3], top, bottom)]  # fmt: skip
    else:
        boxes.append(_box(columns[3], bottom, "Test", [f"{count(metrics['protocol']['positions'])} events",
                          f"{count(metrics['users']['evaluated'])} {who if data.get('sessions') else 'sequences'}"],
                          "device"))  # fmt: skip
        arrows += [_arrow(columns[1], bottom, columns[3]), _down(columns[3], top, bottom)]
    middle = (top + _BOX[1] + bottom) / 2
    left = columns[1] - 8
    cut = svg.line(left, middle, _WIDTH, middle, "cut") + svg.text(left, middle - 5, "cut-off", "cutname")
    sides = svg.text(columns[1], 18, "CLOUD", "axis") + svg.text(columns[1], _HEIGHT - 4, "DEVICES", "axis")
    return svg.drawing(_WIDTH, _HEIGHT, cut + "".join(arrows) + "".join(boxes) + sides, "The way of the data")


def _split(settings: Mapping[str, Any]) -> str:
    split = settings.get("split", {})
    words = {"quantile": "cut at the {quantile:.0%} quantile", "time": "cut at {time}", "column": "the log's own split",
             "per_user": "last {rest:.0%} of each user", "sessions": "latest {rest:.0%}, by session"}  # fmt: skip
    kind = split.get("kind", "")
    if kind not in words:
        return ""
    return words[kind].format(**split, rest=1 - split.get("quantile", 0))


def _box(x: float, y: float, name: str, lines: Sequence[str], kind: str) -> str:
    width, height = _BOX
    words = svg.text(x + width / 2, y + 25, name, "boxname", "middle")
    for place, line in enumerate(lines):
        words += svg.text(x + width / 2, y + 45 + 17 * place, line, "boxline", "middle")
    frame = svg.tag("rect", x=x, y=y, width=width, height=height, rx=9, class_=f"box {kind}".strip())
    return frame + words


def _arrow(start: float, y: float, end: float) -> str:
    middle = y + _BOX[1] / 2
    return svg.line(start + _BOX[0], middle, end - 9, middle, "arrow") + _head(end - 2, middle)


def _bend(x: float, y: float, end: float, down: float) -> str:
    begin, middle = x + _BOX[0], y + _BOX[1] / 2
    target = down + _BOX[1] / 2
    half = (begin + end) / 2
    path = f"M{begin} {middle} C{half} {middle} {half} {target} {end - 9} {target}"
    return svg.tag("path", d=path, class_="arrow") + _head(end - 2, target)


def _down(x: float, top: float, bottom: float) -> str:
    middle = x + _BOX[0] / 2
    points = f"{middle - 4},{bottom - 9} {middle + 4},{bottom - 9} {middle},{bottom - 2}"
    head = svg.tag("polygon", points=points, class_="head")
    return svg.line(middle, top + _BOX[1], middle, bottom - 9, "arrow") + head


def _head(x: float, y: float) -> str:
    return svg.tag("polygon", points=f"{x - 8},{y - 4} {x - 8},{y + 4} {x},{y}", class_="head")
