# SPDX-License-Identifier: Apache-2.0
"""report.html of a PFedRec run: the table, the intervals, the curves of validation, the bytes."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

from pocketrec.cloud.base.runs import HISTORY_FILE, read_json, stage_seconds
from pocketrec.cloud.config.baselines import label_of
from pocketrec.cloud.federated.pfedrec.evaluation import MEASURES
from pocketrec.cloud.federated.pfedrec.result import METRICS_FILE, OWN_NOTE
from pocketrec.cloud.report import page, svg
from pocketrec.cloud.report.words import DASH, change, count, figure, interval, size
from pocketrec.device.base.errors import DataError
from pocketrec.device.base.files import write_atomic

REPORT_FILE = "report.html"
_COLOURS = {"strict": "personal", "paper": "naive"}
_TABLE = (
    "One line a system: which items were training negatives, and which item table clients score with. HR@10 and "
    "NDCG@10 rank the test item among 99 negatives, the others among all items; the round is that of best validation "
    "HR@10. "
    "The paper's sampler never draws a test item as a negative: its figures measure that leak. "
)


def write_report(run: Path) -> Path:
    """Write ``run/report.html`` from metrics.json and metrics.jsonl, and return its path.

    Raises:
        DataError: metrics.json is missing.
        StorageError: the page cannot be written.
    """
    metrics = read_json(run / METRICS_FILE)
    if "systems" not in metrics:
        raise DataError(f"no {run / METRICS_FILE} of a PFedRec run: run `pocketrec pfedrec CONFIG` first")
    settings, versions = read_json(run / "config.json"), read_json(run / "versions.json")
    source = settings.get("data", {})
    name = source.get("set") or Path(source.get("path", "")).name or run.resolve().name
    data, protocol = metrics["data"], metrics["protocol"]
    lead = (f"{name}, seed {protocol['seed']}: {count(data['clients'])} clients, {count(data['items'])} items, "
            f"{protocol['rounds']} rounds. {OWN_NOTE[0].upper()}{OWN_NOTE[1:]}.")  # fmt: skip
    about = {"Configuration": settings, "Versions": versions, "Seconds of each stage": stage_seconds(run)}
    parts = [
        f'<h1>PFedRec: {escape(name)}</h1><p class="lead">{escape(lead)}</p>',
        _quality(metrics), _curves(run), _bytes(metrics["bytes"]),
        page.section("How this was made", "", "".join(page.details(title, json.dumps(content, indent=1))
                                                      for title, content in about.items() if content)),
    ]  # fmt: skip
    path = run / REPORT_FILE
    write_atomic(path, page.page(f"PFedRec: {name}", "\n".join(part for part in parts if part)).encode("utf-8"))
    return path


def _colour(name: str) -> str:
    return _COLOURS.get(name.split("/")[0], "other") if "/" in name else "other"


def _quality(metrics: dict[str, Any]) -> str:
    systems, reference = metrics["systems"], metrics["protocol"]["reference"]
    rows, estimates = [], []
    for name, found in systems.items():
        difference = metrics["compare"].get(name, {}).get("hr@10")
        versus = f"{change(difference['mean'])} <small>({interval(difference)})</small>" if difference else DASH
        label = f'<i class="{_colour(name)}"></i>{escape(label_of(name))}'
        rows.append([label, str(found.get("round", DASH)), *(figure(found[measure]) for measure in MEASURES), versus])
        if difference and difference["low"] is not None:
            mean, low, high = (difference[key] for key in ("mean", "low", "high"))
            estimates.append(svg.Estimate(label_of(name), mean, low, high, _colour(name)))
    head = ["", "round", "HR@10", "NDCG@10", "Recall@20", "MRR@20", "NDCG@20", f"HR@10 - {reference} (95 %)"]
    chart = ""
    if estimates:
        chart = page.heading("Paired differences, user by user") + svg.estimates(
            estimates, x_label=f"HR@10 less that of {reference}, 95 % interval", zero=True, width=760, name_room=170,
            shape=svg.signed,
        )  # fmt: skip
    strong = [place for place, name in enumerate(systems) if name == reference]
    table = page.table(head, rows, strong)
    return page.section("Quality", _TABLE, table + chart)


def _curves(run: Path) -> str:
    path = run / HISTORY_FILE
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    lines = [line for line in lines if "training" in line and line.get("stage") == "pfedrec-train"]
    series = []
    for training in dict.fromkeys(line["training"] for line in lines):
        mine = [line for line in lines if line["training"] == training]
        for table in ("shared", "own"):
            kind = {"strict": "personal", "paper": "naive"}.get(training, "other") if table == "shared" else "global"
            series.append(svg.Series(f"{training}/{table}", [line["round"] for line in mine],
                                     [line[table] for line in mine], kind))  # fmt: skip
    if not series:
        return ""
    chart = svg.line_chart(series, x_label="round", y_label="validation HR@10", width=900, height=280)
    return page.section("Rounds", "Validation HR@10 among 99 negatives after every round.", chart)


def _bytes(found: dict[str, Any]) -> str:
    rows = [["down: the whole table, float32", size(found["down"])]]
    rows += [[f"up: {escape(name)}", size(value)] for name, value in found["up"].items()]
    words = (f"Of one client in one round. A client's samples name {found['touched_rows_mean']:.0f} rows on average, "
             f"{found['touched_rows_max']} at most. The head's weights and bias are never sent.")  # fmt: skip
    return page.section("Bytes", words, page.table(["", "bytes"], rows))
