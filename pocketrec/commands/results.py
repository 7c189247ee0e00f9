# SPDX-License-Identifier: Apache-2.0
"""What a finished run has to show at a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from pocketrec.cloud.base.runs import METRICS_FILE, read_json
from pocketrec.cloud.evaluation.verdict import beats_the_network, sentence_of
from pocketrec.cloud.report.privacy import push_in_words, worth_in_words
from pocketrec.device.base import documents
from pocketrec.device.base.errors import DataError

_MEASURES: Final = ("recall@5", "recall@20", "mrr@20", "ndcg@20")


def results(folder: Path, failed: Sequence[str] | None = None) -> str:
    """What a finished run has to show at a terminal: the quality table, what became of the users, where things lie.

    The last line is one JSON document for programs.

    Args:
        folder: the run directory.
        failed: demands of `pocketrec.commands.gate` that are not met; None = there were none.

    Raises:
        DataError: there is no metrics.json.
    """
    metrics = read_json(folder / METRICS_FILE)
    if not metrics:
        raise DataError(f"no {METRICS_FILE} in {folder}: run `pocketrec fleet` first")
    systems = [name for name in metrics if isinstance(metrics[name], dict) and "mrr@20" in metrics[name]]
    width = max(12, *(len(name) + 1 for name in systems))
    heads = "".join(f"{name:>11}" for name in _MEASURES)
    lines = ["", f"{'full ranking':<{width}}{heads}   MRR@20 against global"]
    for name in systems:
        figures = "".join(f"{metrics[name][measure]:>11.4f}" for measure in _MEASURES)
        against = metrics["compare"].get(name, {}).get("mrr@20")
        lines.append(f"{name:<{width}}{figures}   {_difference(against) if against else ''}".rstrip())
    sampled = [name for name in systems if "sampled_99" in metrics[name]]
    if sampled:
        lines.append(f"{'among 99 sampled':<16}")
        for name in sampled:
            figures = "".join(f"{metrics[name]['sampled_99'][measure]:>11.4f}" for measure in _MEASURES)
            lines.append(f"{name:<{width}}{figures}")
    users = metrics["users"]
    lines.append("")
    if "personal" in systems:
        lines.append(
            f"{users['evaluated']} users: {users['gained']} gained and {users['harmed']} lost more than .01 of MRR@20 "
            f"from the global model to the personal; {users['kept_global']} devices stayed with the global model"
        )
        lines.append(
            f"{metrics['ceiling']:.1%} of the test items are among what a device offers, "
            f"{metrics.get('ceiling_candidates', 0):.1%} "
            + ("in the users' candidate sets alone" if metrics["bytes"]["candidates_per_user"] else
               "among what the global model finds in the whole catalogue alone")
        )
    else:
        sessions = metrics.get("data", {}).get("sessions")
        who, why = ("sessions", "they never come back") if sessions else ("sequences", "the log has its own split")
        what = "the global model and its neighbours" if "neighbours" in systems else "the global model alone"
        lines.append(f"{users['evaluated']} {who}, {what} ({why})")
    for name, words in (("repeats", "the bonus for repeats alone"), ("central", "retraining in the cloud")):
        if f"personal_{name}" in metrics["compare"]:
            lines.append(f"personal against {words}: {_difference(metrics['compare'][f'personal_{name}']['mrr@20'])}")
    lines += worth_in_words(metrics.get("privacy", {}))
    if "push_mode" in metrics:
        lines.append(push_in_words(metrics["push_mode"]))
    if beaten := beats_the_network(metrics):
        lines.append(beaten)
    size = metrics["bytes"]
    near = f", {size['neighbours'] / 1e6:.2f} MB of neighbours" if size.get("neighbours") else ""
    sets = f" and {size['candidates_per_user'] / 1e3:.1f} kB of candidates" if size["candidates_per_user"] else ""
    lines.append(
        f"a device fetches {size['model'] / 1e6:.2f} MB of model{near}{sets}; "
        f"the weights in float32 are {size['dense_fp32_model'] / 1e6:.2f} MB"
    )
    lines += ["", sentence_of(metrics)]
    lines += ["", f"bundle  {folder / 'bundle'} (and bundle.zip)", f"report  {folder / 'report.html'}"]
    if (folder / "refit" / "bundle").exists():
        lines.append(f"refit   {folder / 'refit' / 'bundle'}: trained on the whole log; `pocketrec publish` takes it")
    places: dict[str, Any] = {"run": str(folder), "bundle": str(folder / "bundle")}
    if failed is not None:
        places["gate"] = {"passed": not failed, "failed": list(failed)}
    lines.append(documents.line({**places, "metrics": _short(metrics, systems)}))
    return "\n".join(lines)


def _short(metrics: dict[str, Any], systems: list[str]) -> dict[str, Any]:
    """The part of metrics.json that fits a line for programs: measures, differences of MRR@20, users, bytes, times."""
    short: dict[str, Any] = {name: {m: metrics[name][m] for m in _MEASURES} for name in systems}
    short["compare"] = {name: against["mrr@20"] for name, against in metrics["compare"].items() if "mrr@20" in against}
    kept = ("users", "ceiling", "bytes", "device", "verdict", "privacy", "push_mode")
    return short | {name: metrics[name] for name in kept if name in metrics}


def _difference(against: dict[str, Any]) -> str:
    low, high, ratio = against["low"], against["high"], against["ratio"]["mean"]
    interval = "-" if low is None or high is None else f"{low:+.4f} to {high:+.4f}"
    return f"{against['mean']:+.4f} ({interval}), x {'-' if ratio is None else f'{ratio:.3f}'}"
