# SPDX-License-Identifier: Apache-2.0
"""The ledger of `pocketrec compare`: what each way to personalise gains, whom it harms, and what it costs.

Takes figures that others have measured and lays them out: as a table for the terminal, a page with charts, drawings of
their own for documents. It knows nothing about how they came about.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

from pocketrec.cloud.config.baselines import label_of
from pocketrec.cloud.config.personalise import WAYS
from pocketrec.cloud.metrics.metrics import HEADLINE
from pocketrec.cloud.report import page, shared, svg
from pocketrec.cloud.report.style import STYLE
from pocketrec.cloud.report.words import DASH, change, count, figure, size

Table = Mapping[str, Any]

_HEAD: Final = (
    "way", "optimizer", "Recall@20", "MRR@20", "gain (95 %)", "x", "gained:harmed", "parameters", "state", "down", "up",
    "train ms", "embed ms", "infer ms", "RSS MB", "recipe",
)  # fmt: skip
_MEASURES: Final = ("recall@20", HEADLINE, "ndcg@20")


def ledger(
    metrics: Table,
    users: Sequence[Table],
    contenders: Mapping[str, tuple[str, str]],
    rehearsals: Mapping[str, Table],
    words: Mapping[str, str],
    costs: Mapping[str, Table],
) -> dict[str, Any]:
    """compare.json.

    Args:
        metrics: of a fleet with the systems ``global`` and one for each contender (`evaluate.fleet_metrics`).
        users: its lines (`evaluate.read_users`).
        contenders: name -> way and optimiser.
        rehearsals: name -> rehearsal.json; contenders that were not rehearsed are left out.
        words: name -> the recipe in a few words.
        costs: name -> parameters, bytes, latency and memory; a contender that trains nothing has none.

    Returns:
        ``protocol``, ``data``, ``users``, ``global`` and ``baselines`` (the measures), and ``rows``: for each contender
        its measures,
        ``gain`` (of MRR@20 over global: mean, low, high, ratio, gained, harmed), ``kept`` (devices by what their guard
        chose), ``rehearsed`` (the gain that its rehearsal expected), ``alone`` (its best training in the screening,
        without bonus and without guard) and the costs.
    """
    rows = []
    for name, (way, optimizer) in contenders.items():
        if name not in rehearsals:
            continue
        rehearsal = rehearsals[name]
        kept = Counter(user["decision"].get(name, {}).get("kept", "global") for user in users)
        rows.append({
            "name": name, "way": way, "optimizer": optimizer, "recipe": words[name],
            **{measure: metrics[name][measure] for measure in _MEASURES},
            "gain": metrics["compare"][name][HEADLINE],
            "kept": {choice: kept[choice] for choice in ("personal", "blend", "global")},
            "rehearsed": rehearsal["forecast"]["gain"], "alone": _alone(rehearsal), **costs.get(name, {}),
        })  # fmt: skip
    return {
        "format": 1, "protocol": metrics["protocol"], "data": metrics.get("data", {}),
        "users": metrics["users"]["evaluated"], "rehearsed_users": max(r["users"] for r in rehearsals.values()),
        "global": {measure: metrics["global"][measure] for measure in _MEASURES},
        "baselines": [{"name": name, **{measure: metrics[name][measure] for measure in _MEASURES},
                       "gain": metrics["compare"][name][HEADLINE]}
                      for name in metrics["compare"] if name in metrics and name not in contenders],
        "runtime": next((cost["runtime"] for cost in costs.values()), ""), "rows": rows,
    }  # fmt: skip


def as_text(found: Table) -> str:
    """The ledger as a table for a terminal."""
    rows = [_HEAD, ("global", "", *(figure(found["global"][m]) for m in ("recall@20", HEADLINE)), *[""] * 12)]
    rows += [_cells(row) for row in found["rows"]]
    rows += [_baseline_cells(row) for row in found.get("baselines", [])]  # an older ledger has none
    widths = [max(len(str(row[place])) for row in rows) for place in range(len(_HEAD))]
    lines = [
        "  ".join(cell.ljust(w) if place in (0, 1, 15) else cell.rjust(w)
                  for place, (cell, w) in enumerate(zip(row, widths, strict=True))).rstrip()
        for row in rows
    ]  # fmt: skip
    lines.insert(0, "")
    if found.get("shared"):
        lines += shared.as_lines(found["shared"])
    lines += [
        "",
        f"{found['users']} users, full ranking; gain in MRR@20 over the global model; gained, harmed: by more than .01",
        f"{found['rehearsed_users']} users rehearsed each contender before the cut-off; state without events; "
        f"{found['runtime']}, one thread",
    ]
    return "\n".join(lines)


def write_page(found: Table) -> str:
    """compare.html: the ledger with its charts."""
    name = found["data"].get("set") or "a log"
    lead = f"{name}, {count(found['users'])} users, full ranking. Global: MRR@20 {figure(found['global'][HEADLINE])}."
    rows = [*map(_cells, found["rows"]), *map(_baseline_cells, found.get("baselines", []))]
    cells = [[escape(cell) for cell in row] for row in rows]
    parts = [
        f'<h1>Ways to personalise</h1><p class="lead">{escape(lead)}</p>',
        page.section("What a device gains", "Gain of MRR@20 over the global model with the recipe that each way's own "
                     "rehearsal chose, and the guard; 95 % interval; users gained : harmed.", gain_chart(found)),
        page.section("What training alone does", "Before the cut-off, for the users rehearsed: the best training "
                     "of each way without bonus for repeats and guard; one standard error; gained : harmed.",
                     alone_chart(found)),
        page.section("What it costs", "", cost_chart(found)),
        page.section("Ledger", "", page.table(_HEAD, cells)),
        *([shared.section(found["shared"])] if found.get("shared") else []),
    ]  # fmt: skip
    return page.page("PocketRec: ways to personalise", "\n".join(parts))


def gain_chart(found: Table) -> str:
    """Dots with intervals: the gain of each contender."""
    rows = [
        svg.Estimate(_name(row), row["gain"]["mean"], _end(row["gain"]["low"]), _end(row["gain"]["high"]), _kind(row),
                     f"{change(row['gain']['mean'])}, {row['gain']['gained']} : {row['gain']['harmed']}")
        for row in found["rows"]
    ]  # fmt: skip
    return svg.estimates(rows, x_label="gain of MRR@20, 95 % interval; users gained : harmed", zero=True, width=760,
                         name_room=170, note_room=150, shape=svg.signed)  # fmt: skip


def alone_chart(found: Table) -> str:
    """Dots with one standard error: the best training of each contender alone, in rehearsal."""
    rows = []
    for row in found["rows"]:
        alone = row["alone"]
        if alone:
            error = alone["error"] or 0.0
            note = f"{change(alone['mean'])}, {alone['gained']} : {alone['harmed']}"
            low, high = alone["mean"] - error, alone["mean"] + error
            rows.append(svg.Estimate(_name(row), alone["mean"], low, high, _kind(row), note))
    return svg.estimates(rows, x_label="gain of MRR@20 in rehearsal, without bonus and guard, one standard error",
                         zero=True, width=760, name_room=170, note_room=150, shape=svg.signed)  # fmt: skip


def cost_chart(found: Table) -> str:
    """Bars: the size of a state, with the time of a train step."""
    rows = [row for row in found["rows"] if "state_bytes" in row]
    step, width, left, right = 24, 760, 170, 150
    height = step * len(rows) + 46
    xs = svg.Axis(0.0, max((row["state_bytes"] for row in rows), default=1) / 1e3, left, width - right)
    bottom = height - 36
    parts = [svg.line(xs(t), 8, xs(t), bottom) + svg.text(xs(t), bottom + 16, svg.compact(t), "tick", "middle")
             for t in xs.ticks()]  # fmt: skip
    for place, row in enumerate(rows):
        y = 8 + step * (place + 0.5)
        end = xs(row["state_bytes"] / 1e3)
        parts.append(svg.text(left - 10, y + 4, _name(row), "label", "end"))
        parts.append(svg.tag("rect", x=left, y=y - 6, width=max(1.0, end - left), height=12.0, class_=_kind(row)))
        parts.append(svg.text(width - right + 10, y + 4, f"{row['train_ms_p50']:.1f} ms a train step", "note"))
    parts.append(svg.text((left + width - right) / 2, height - 4, "personal state, kB", "axis", "middle"))
    return svg.drawing(width, height, "".join(parts), "personal state in kB and milliseconds of a train step")


#: Name of the drawing's file -> what draws it.
CHARTS: Final = {"gain": gain_chart, "alone": alone_chart, "cost": cost_chart}


def standalone(drawing: str) -> str:
    """A drawing as an SVG file of its own, on white."""
    style = STYLE.split("@media (prefers-color-scheme: dark)")[0] + "svg { background: #ffffff; }" + _svg_rules()
    start = '<svg xmlns="http://www.w3.org/2000/svg" font-family="system-ui, Liberation Sans, Arial, sans-serif"'
    return drawing.replace("<svg", start, 1).replace(">", f"><style>{style}</style>", 1) + "\n"


def _svg_rules() -> str:
    return "\n".join(rule for rule in STYLE.splitlines() if rule.startswith("svg "))


def _alone(rehearsal: Table) -> dict[str, Any] | None:
    """The best training alone in the screening; None where none was tried."""
    tried = [t for t in rehearsal["trials"] if t["passes"] and not t["repeats"]["strength"] and "unguarded" in t]
    if not tried:
        return None
    best = max(tried, key=lambda trial: trial["unguarded"]["mean"])
    return {"name": best["name"], **best["unguarded"]}


def _cells(row: Table) -> tuple[str, ...]:
    gain = row["gain"]
    shown = [f"{row[name]:.2f}" if name in row else "" for name in ("train_ms_p50", "embed_ms_p50", "infer_ms_p50")]
    measured = [""] * 4
    if "parameters" in row:
        measured = [f"{row['parameters']:,}", *(size(row[name]) for name in ("state_bytes", "bytes_down", "bytes_up"))]
    return (
        row["way"], row["optimizer"], figure(row["recall@20"]), figure(row[HEADLINE]),
        f"{change(gain['mean'])} ({change(gain['low'])} to {change(gain['high'])})", _ratio(gain["ratio"]["mean"]),
        f"{gain['gained']}:{gain['harmed']}", *measured, *shown,
        f"{row['peak_rss_mb']:.0f}" if "peak_rss_mb" in row else "", row["recipe"],
    )  # fmt: skip


def _baseline_cells(row: Table) -> tuple[str, ...]:
    gain = row["gain"]
    return (
        label_of(row["name"]), "", figure(row["recall@20"]), figure(row[HEADLINE]),
        f"{change(gain['mean'])} ({change(gain['low'])} to {change(gain['high'])})", _ratio(gain["ratio"]["mean"]),
        f"{gain['gained']}:{gain['harmed']}", *[""] * 9,
    )  # fmt: skip


def _end(value: float | None) -> float:
    """An end of an interval; not a number where there is none, as of one user."""
    return float("nan") if value is None else value


def _ratio(value: float | None) -> str:
    return DASH if value is None else f"{value:.3f}"


def _name(row: Table) -> str:
    return "bonus for repeats alone" if row["way"] == "none" else f"{row['way'].replace('_', ' ')}, {row['optimizer']}"


def _kind(row: Table) -> str:
    """The colour of a way; that of an older ledger may no longer be installed."""
    return str(WAYS.load(row["way"]).colour) if row["way"] in WAYS else "other"
