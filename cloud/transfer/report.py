# SPDX-License-Identifier: Apache-2.0
"""report.html of a transfer run: a table for each task, intervals, the curve of few users, patches."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any, Final

from pocketrec.cloud.base.runs import METRICS_FILE, read_json, stage_seconds
from pocketrec.cloud.report import page, svg
from pocketrec.cloud.report.words import DASH, count, figure, percent, size
from pocketrec.cloud.transfer.judge import COMPARED
from pocketrec.cloud.transfer.result import PATCHES_FILE, SHOWN
from pocketrec.device.base.errors import DataError
from pocketrec.device.base.files import write_atomic

REPORT_FILE: Final = "report.html"
_COLOURS: Final = {"serial": "personal", "parallel": "personal", "fine_all": "global", "fine_zero": "naive"}


def write_report(run: Path) -> Path:
    """Write ``run/report.html`` from metrics.json, and return its path.

    Raises:
        DataError: metrics.json is missing.
        StorageError: the page cannot be written.
    """
    metrics = read_json(run / METRICS_FILE)
    if "tasks" not in metrics:
        raise DataError(f"no {run / METRICS_FILE} of a transfer run: run `pocketrec transfer CONFIG` first")
    settings, versions = read_json(run / "config.json"), read_json(run / "versions.json")
    source = settings.get("data", {})
    name = source.get("set") or Path(source.get("path", "")).name or run.resolve().name
    lead = f"{name}, seed {metrics['protocol']['seed']}: each user is in one part only; the test was read once."
    about = {"Configuration": settings, "Versions": versions, "Seconds of each stage": stage_seconds(run)}
    patches = read_json(run / PATCHES_FILE)
    parts = [
        f'<h1>Transfer: {escape(name)}</h1><p class="lead">{escape(lead)}</p>',
        *(_task(task, entry, patches.get(task, {})) for task, entry in metrics["tasks"].items()),
        page.section("How this was made", "", "".join(page.details(title, json.dumps(content, indent=1))
                                                      for title, content in about.items() if content)),
    ]  # fmt: skip
    path = run / REPORT_FILE
    write_atomic(path, page.page(f"Transfer: {name}", "\n".join(parts)).encode("utf-8"))
    return path


def _task(name: str, task: Mapping[str, Any], patches: Mapping[str, Any]) -> str:
    data, systems, reference = task["data"], task["systems"], task["reference"]
    headline = COMPARED[data["kind"]][0]
    rows, estimates = [], []
    for system, found in systems.items():
        entry = task["compare"].get(system, {}).get(headline)
        ratio = entry["ratio"] if entry and None not in entry["ratio"].values() else None
        told = f"{ratio['mean']:.3f} <small>({ratio['low']:.3f} to {ratio['high']:.3f})</small>" if ratio else DASH
        tuned = "rate" in found
        share = percent(found.get("share_of_backbone"), 1)
        how = [f"{found['rate']:g}", str(found["epoch"]), share] if tuned else [DASH] * 3
        rows.append([f'<i class="{_colour(system)}"></i>{escape(system)}', *how,
                     *(figure(found[each]) for each in SHOWN[data["kind"]]), told])  # fmt: skip
        low, high = found["interval"]["low"], found["interval"]["high"]
        if low is not None and high is not None:
            estimates.append(svg.Estimate(system, found["interval"]["mean"], low, high, _colour(system)))
    head = ["", "rate", "epoch", "share of backbone", *SHOWN[data["kind"]], f"{headline} / {reference} (95 %)"]
    words = (
        f"{count(data['targets'])} targets; training {count(data['train_users'])} users, test "
        f"{count(data['test_users'])} users with {count(data['test_rows'])} targets. Means over targets; users are "
        "drawn for intervals. full: ranked among all targets; sampled_99: among 99 of the others, the expected value."
    )
    strong = [place for place, system in enumerate(systems) if system == reference]
    chart = svg.estimates(estimates, x_label=f"{headline}, 95 % interval", width=760, name_room=190)
    content = page.table(head, rows, strong) + chart + _curve(systems, headline) + _patches(patches)
    return page.section(f"Task {escape(name)}", words, content)


def _curve(systems: Mapping[str, Any], headline: str) -> str:
    """The headline by the number of training users, where there are several numbers."""
    series: dict[str, list[tuple[int, float]]] = {}
    for found in systems.values():
        if found.get("training_users"):
            series.setdefault(found["method"], []).append((found["training_users"], found[headline]))
    lines = [svg.Series(method, [users for users, _ in sorted(points)], [value for _, value in sorted(points)],
                        _colour(method)) for method, points in series.items() if len(points) > 1]  # fmt: skip
    if not lines:
        return ""
    chart = svg.line_chart(lines, x_label="training users", y_label=headline, width=900, height=280)
    return page.heading("Fewer training users") + chart


def _patches(entries: Mapping[str, Any]) -> str:
    if not entries:
        return ""
    rows = [[escape(name), escape(entry["file"]), size(entry["bytes"]), count(entry["numbers"]),
             percent(entry["share_of_backbone"], 1), count(entry["head_numbers"]), figure(entry["validation"]),
             figure(entry["validation_of_file"])] for name, entry in entries.items()]  # fmt: skip
    head = ["patch", "file", "bytes", "numbers", "share of backbone", "head", "validation", "of the file"]
    return page.heading("Patches") + page.table(head, rows)


def _colour(system: str) -> str:
    return _COLOURS.get(system.partition(",")[0].partition(" ")[0], "other")
