"""What a finished run has to show at a terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from pocketrec.cloud.base.runs import METRICS_FILE, read_json
from pocketrec.device.base.errors import DataError

_MEASURES: Final = ("recall@5", "recall@20", "mrr@20", "ndcg@20")


def results(folder: Path) -> str:
    """What a finished run has to show at a terminal: the quality table, what became of the users, where things lie.

    The last line is one JSON document for programs.

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
            f"{metrics['ceiling']:.1%} of the test items are among what a device offers (candidates and own items), "
            f"{metrics.get('ceiling_candidates', 0):.1%} in the users' candidate sets alone"
        )
    else:
        lines.append(f"{users['evaluated']} sequences, the global model alone (the log has its own split)")
    for name, words in (("repeats", "the bonus for repeats alone"), ("central", "retraining in the cloud")):
        if f"personal_{name}" in metrics["compare"]:
            lines.append(f"personal against {words}: {_difference(metrics['compare'][f'personal_{name}']['mrr@20'])}")
    size = metrics["bytes"]
    lines.append(
        f"a device fetches {size['model'] / 1e6:.2f} MB of model and {size['candidates_per_user'] / 1e3:.1f} kB of "
        f"candidates; the weights in float32 are {size['dense_fp32_model'] / 1e6:.2f} MB"
    )
    lines += ["", f"bundle  {folder / 'bundle'} (and bundle.zip)", f"report  {folder / 'report.html'}"]
    places = {"run": str(folder), "bundle": str(folder / "bundle")}
    lines.append(json.dumps({**places, "metrics": _short(metrics, systems)}))
    return "\n".join(lines)


def _short(metrics: dict[str, Any], systems: list[str]) -> dict[str, Any]:
    """The part of metrics.json that fits a line for programs: measures, differences of MRR@20, users, bytes, times."""
    short: dict[str, Any] = {name: {m: metrics[name][m] for m in _MEASURES} for name in systems}
    short["compare"] = {name: against["mrr@20"] for name, against in metrics["compare"].items() if "mrr@20" in against}
    kept = ("users", "ceiling", "bytes", "device")
    return short | {name: metrics[name] for name in kept if name in metrics}


def _difference(against: dict[str, Any]) -> str:
    low, high, ratio = against["low"], against["high"], against["ratio"]["mean"]
    interval = "-" if low is None or high is None else f"{low:+.4f} to {high:+.4f}"
    return f"{against['mean']:+.4f} ({interval}), x {'-' if ratio is None else f'{ratio:.3f}'}"
