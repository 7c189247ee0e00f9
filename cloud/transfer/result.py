# SPDX-License-Identifier: Apache-2.0
"""Figures of a transfer run: what metrics.json holds, the table for people, and the JSON document."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pocketrec.cloud.base.runs import METRICS_FILE, read_json
from pocketrec.cloud.config.transfer import TransferRun
from pocketrec.cloud.metrics.sampled import NEGATIVES
from pocketrec.cloud.report.words import DASH
from pocketrec.cloud.transfer.judge import ACCURACY, COMPARED, SAMPLED, Ranks, compared, summary
from pocketrec.cloud.transfer.rows import HOME, Rows, Task
from pocketrec.device.base.errors import DataError

PATCHES_FILE: Final = f"{HOME}/patches.json"
#: Measures of the table for people, by the task's kind.
SHOWN: Final = {
    "items": ("full_recall@20", "full_mrr@20", f"{SAMPLED}_recall@5", f"{SAMPLED}_mrr@5", f"{SAMPLED}_ndcg@5"),
    "profile": (ACCURACY,),
}
_WIDTH: Final = 19  # of a measure's column


@dataclass(frozen=True)
class Judged:
    """A task's test rows and their ranks."""

    task: Task
    test: Rows
    ranks: dict[str, Ranks]
    """System -> (n,)."""
    about: dict[str, dict[str, Any]]
    """System -> how it was tuned."""
    reference: str
    """What the others are compared with."""


def make_metrics(config: TransferRun, judged: Mapping[str, Judged]) -> dict[str, Any]:
    """The content of metrics.json."""
    samples = config.evaluate.bootstrap
    protocol = {
        "split": "by user", "test": config.transfer.split.test, "validation": config.transfer.split.validation,
        "rankings": ["full", SAMPLED], "sampled_negatives": NEGATIVES, "ties": config.evaluate.ties,
        "means": "over targets; intervals: users are drawn", "loss": config.transfer.loss,
        "sampler": config.transfer.sampler, "seed": config.seed, "bootstrap": samples,
    }  # fmt: skip
    return {"format": 1, "protocol": protocol,
            "tasks": {name: _task(config, entry, samples) for name, entry in judged.items()}}  # fmt: skip


def _task(config: TransferRun, judged: Judged, samples: int) -> dict[str, Any]:
    task, test, seed = judged.task, judged.test, config.seed
    count, kind = len(task.ids), task.kind
    systems = {name: {**summary(rank, test, count, kind, samples, seed), **judged.about.get(name, {})}
               for name, rank in judged.ranks.items()}  # fmt: skip
    against = {name: compared(rank, judged.ranks[judged.reference], test, count, kind, samples, seed)
               for name, rank in judged.ranks.items() if name != judged.reference}  # fmt: skip
    data = {
        "kind": kind, "targets": count, "left_out": task.left_out,
        **{f"{part}_{what}": number for part, rows in (("train", task.train), ("validation", task.validation),
                                                       ("test", test))
           for what, number in (("users", len(set(rows.users.tolist()))), ("rows", len(rows)))},
    }  # fmt: skip
    return {"data": data, "reference": judged.reference, "systems": systems, "compare": against}


def results(folder: Path) -> str:
    """The tables for people, and one JSON document as the last line.

    Raises:
        DataError: there is no metrics.json of a transfer run.
    """
    metrics = read_json(folder / METRICS_FILE)
    if "tasks" not in metrics:
        raise DataError(f"no {METRICS_FILE} of a transfer run in {folder}: run `pocketrec transfer CONFIG` first")
    patches = read_json(folder / PATCHES_FILE)
    lines: list[str] = []
    for name, task in metrics["tasks"].items():
        lines += ["", *_table(name, task), *_patch_lines(patches.get(name, {}))]
    lines += ["", f"report  {folder / 'report.html'}"]
    content = {"run": str(folder), "protocol": metrics["protocol"], "tasks": metrics["tasks"], "patches": patches}
    return "\n".join([*lines, json.dumps(content)])


def _table(name: str, task: Mapping[str, Any]) -> list[str]:
    data, systems = task["data"], task["systems"]
    shown, headline = SHOWN[data["kind"]], COMPARED[data["kind"]][0]
    width = max(len(system) for system in systems) + 2
    what = "classes" if data["kind"] == "profile" else "items"
    lines = [
        f"task {name}: {data['targets']} {what}; training {data['train_users']} users {data['train_rows']} targets, "
        f"test {data['test_users']} users {data['test_rows']} targets",
        f"{'':<{width}}{'rate':>8}{'epoch':>6}{'share':>8}" + "".join(f"{each:>{_WIDTH}}" for each in shown)
        + f"{'   95 % interval   ' if data['kind'] == 'profile' else '   '}{headline} / that of {task['reference']}",
    ]  # fmt: skip
    for system, found in systems.items():
        tuned = "rate" in found
        how = (f"{found['rate']:>8g}{found['epoch']:>6}{found['share_of_backbone']:>8.1%}" if tuned else " " * 22)
        figures = "".join(f"{found[each]:>{_WIDTH}.4f}" for each in shown)
        if data["kind"] == "profile":
            figures += f"   {_interval(found['interval'])}"
        lines.append(f"{system:<{width}}{how}{figures}   {_ratio(task['compare'].get(system), headline)}".rstrip())
    return lines


def _ratio(entry: Mapping[str, Any] | None, headline: str) -> str:
    if not entry:
        return ""
    ratio = entry[headline]["ratio"]
    if None in ratio.values():
        return ""
    return f"{ratio['mean']:.3f} ({ratio['low']:.3f} to {ratio['high']:.3f})"


def _interval(entry: Mapping[str, float | None]) -> str:
    """``.7012 to .7903`` in a column of its own."""
    ends = [DASH if entry[end] is None else f"{entry[end]:.4f}" for end in ("low", "high")]
    return f"{' to '.join(ends):<16}"


def _patch_lines(entries: Mapping[str, Any]) -> list[str]:
    return [f"patch {name}: {entry['file']}, {entry['bytes']:,} bytes; {entry['numbers']:,} numbers beside the "
            f"backbone ({entry['share_of_backbone']:.1%} of it) and {entry['head_numbers']:,} of the head"
            for name, entry in entries.items()]  # fmt: skip
