# SPDX-License-Identifier: Apache-2.0
"""Figures of a PFedRec run: what metrics.json holds, and the table for people.

Every system is named ``SAMPLING/TABLE``: which items were training negatives, and which item table clients score with.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.base.runs import METRICS_FILE, read_json
from pocketrec.cloud.config.baselines import label_of
from pocketrec.cloud.federated.pfedrec.config import RANKED_NEGATIVES, PFedRecRun, item_rate
from pocketrec.cloud.federated.pfedrec.data import Split
from pocketrec.cloud.federated.pfedrec.evaluation import MEASURES, values
from pocketrec.cloud.federated.pfedrec.upload import upload_bytes
from pocketrec.cloud.metrics.metrics import paired
from pocketrec.cloud.report.words import DASH
from pocketrec.device.base.errors import DataError

__all__ = ["COMPARED", "METRICS_FILE", "make_metrics", "results"]

#: Measures that systems are compared by, user by user.
COMPARED = ("hr@10", "recall@20", "mrr@20")
OWN_NOTE = "own tables: only with repeats"


def make_metrics(
    config: PFedRecRun, split: Split, ranks: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
    chosen: Mapping[str, int], never: Mapping[str, NDArray[np.bool_]], touched: NDArray[np.int64],
) -> dict[str, Any]:  # fmt: skip
    """The content of metrics.json.

    Args:
        config: of the run.
        split: the clients.
        ranks: system -> sampled and full test ranks, each (U,).
        chosen: system -> its best validation round, from 0.
        never: system -> which clients were never sampled until then.
        touched: (U,) item rows that each client's samples name in a round.
    """
    reference = f"{config.pfedrec.sampling[0]}/{config.pfedrec.table}"
    per_user = {name: values(*both) for name, both in ranks.items()}
    systems: dict[str, Any] = {}
    for name, found in per_user.items():
        systems[name] = {measure: float(found[measure].mean()) for measure in MEASURES}
        if name in chosen:
            systems[name]["round"] = chosen[name]
        out = never.get(name, np.zeros(0, dtype=bool))
        if out.any():
            fallback = "shared table, first head" if name.endswith("/shared") else "first table, first head"
            systems[name]["never_sampled"] = {
                "clients": int(out.sum()), "scored_with": fallback,
                **{measure: float(found[measure][out].mean()) for measure in MEASURES},
            }  # fmt: skip
            if not out.all():
                systems[name]["sampled"] = {measure: float(found[measure][~out].mean()) for measure in MEASURES}
    samples = config.evaluate.bootstrap
    compare = {
        name: {measure: _finite(paired(found[measure], per_user[reference][measure], samples, config.seed).to_dict())
               for measure in COMPARED}
        for name, found in per_user.items() if name != reference
    }  # fmt: skip
    return {
        "format": 1,
        "protocol": {
            "split": "leave-one-out by time", "sampled_negatives": RANKED_NEGATIVES, "ranking": "sampled and full",
            "ties": "worst", "mask_seen": config.pfedrec.mask_seen, "sampling": config.pfedrec.sampling,
            "table": config.pfedrec.table, "reference": reference, "rounds": config.pfedrec.rounds,
            "item_rate": item_rate(config.pfedrec, split.items), "seed": config.seed, "bootstrap": samples,
        },
        "data": {
            "clients": len(split), "items": split.items, "training_events": len(split.train),
            "left_out": split.dropped, "repeats": split.repeats,
        },
        "systems": systems,
        "compare": compare,
        "bytes": _bytes(config, split, touched),
    }  # fmt: skip


def _bytes(config: PFedRecRun, split: Split, touched: NDArray[np.int64]) -> dict[str, Any]:
    """Bytes of a client and round, by what is sent, and of a client's whole training."""
    latent = config.pfedrec.latent
    forms = {f"{upload} {'float32' if bits == 32 else 'int8'}": (upload, bits)
             for upload in ("full", "touched") for bits in (32, 8)}  # fmt: skip
    up = {name: float(np.mean(upload_bytes(touched if upload == "touched" else split.items, latent, upload=upload,
                                           bits=bits))) for name, (upload, bits) in forms.items()}  # fmt: skip
    taken = config.pfedrec.clients / len(split) if config.pfedrec.clients else config.pfedrec.share
    mine = up[f"{config.pfedrec.upload} {'float32' if config.pfedrec.bits == 32 else 'int8'}"]
    down = 4.0 * latent * split.items
    return {
        "down": down, "up": up, "touched_rows_mean": float(touched.mean()), "touched_rows_max": int(touched.max()),
        "rounds_of_a_client": config.pfedrec.rounds * min(1.0, taken),
        "whole_run_up": mine * config.pfedrec.rounds * min(1.0, taken),
        "whole_run_down": down * config.pfedrec.rounds * min(1.0, taken),
    }  # fmt: skip


def results(folder: Path) -> str:
    """The table for people, and one JSON document as the last line.

    Raises:
        DataError: there is no metrics.json of a PFedRec run.
    """
    metrics = read_json(folder / METRICS_FILE)
    if "systems" not in metrics:
        raise DataError(f"no {METRICS_FILE} of a PFedRec run in {folder}: run `pocketrec pfedrec CONFIG` first")
    systems, protocol = metrics["systems"], metrics["protocol"]
    width = max(len(label_of(name)) for name in systems) + 2
    head = f"{'sampling/table':<{width}}{'round':>6}" + "".join(f"{name:>11}" for name in MEASURES)
    against = f"HR@10 less that of {protocol['reference']}"
    lines = ["", f"{'':<{width + 6}}{'among 99 sampled':>22}{'full ranking':>22}", f"{head}   {against}"]
    for name, found in systems.items():
        figures = "".join(f"{found[measure]:>11.4f}" for measure in MEASURES)
        told = _difference(metrics["compare"].get(name, {}).get("hr@10"))
        lines.append(f"{label_of(name):<{width}}{found.get('round', ''):>6}{figures}   {told}".rstrip())
    lines += [*_never(systems, width), "", *_words(metrics)]
    lines += ["", f"report  {folder / 'report.html'}"]
    short = {name: {key: found[key] for key in (*MEASURES, "round", "never_sampled", "sampled") if key in found}
             for name, found in systems.items()}  # fmt: skip
    differences = {name: {key: found["hr@10"][key] for key in ("mean", "low", "high")}
                   for name, found in metrics["compare"].items()}  # fmt: skip
    content = {"run": str(folder), "protocol": protocol, "data": metrics["data"], "systems": short,
               "hr@10_difference": differences, "bytes": metrics["bytes"]}  # fmt: skip
    return "\n".join([*lines, json.dumps(content)])


def _never(systems: Mapping[str, Any], width: int) -> list[str]:
    lines = []
    for name, found in systems.items():
        if "never_sampled" in found:
            out = found["never_sampled"]
            figures = "".join(f"{out[measure]:>11.4f}" for measure in MEASURES)
            lines.append(f"{name:<{width}}{'':>6}{figures}   {out['clients']} never sampled: {out['scored_with']}")
    return ["", "clients that were never sampled", *lines] if lines else []


def _words(metrics: Mapping[str, Any]) -> list[str]:
    protocol, data, size = metrics["protocol"], metrics["data"], metrics["bytes"]
    up = ", ".join(f"{name} {value / 1e3:.1f} kB" for name, value in size["up"].items())
    lines = [
        f"{data['clients']} clients, {data['items']} items; item rate {protocol['item_rate']:,.1f}; the round of best "
        "validation HR@10 of each table; the test was read once",
        f"a client and round: {size['down'] / 1e3:.1f} kB down; up: {up} "
        f"({size['touched_rows_mean']:.0f} rows touched, at most {size['touched_rows_max']})",
        OWN_NOTE,
    ]
    if any(name.startswith("paper") for name in metrics["systems"]):
        lines.append("paper: its sampler never draws a test item as a negative, so its figures measure that leak")
    return lines


def _difference(entry: Mapping[str, float | None] | None) -> str:
    if not entry:
        return ""
    ends = [DASH if entry[key] is None else f"{entry[key]:+.4f}" for key in ("low", "high")]
    return f"{entry['mean']:+.4f} ({' to '.join(ends)})"


def _finite(entry: Any) -> Any:
    """JSON has no infinity and no nan: None in their place."""
    if isinstance(entry, dict):
        return {key: _finite(value) for key, value in entry.items()}
    return None if isinstance(entry, float) and not math.isfinite(entry) else entry
