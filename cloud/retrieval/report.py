# SPDX-License-Identifier: Apache-2.0
"""Tables and JSON of one or several measured runs of one log: means over seeds for each user, intervals over users."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.metrics.lists import LIST_MEASURES
from pocketrec.cloud.metrics.metrics import bootstrap_mean, paired
from pocketrec.cloud.retrieval.measure import STAGES, Measured
from pocketrec.device.base.errors import DataError

_SHOWN: Final = ("map@1", "map@5", "map@10", "map@30", "map@100", "precision@5", "precision@10", "recall@100")
_MAIN: Final = "map@10"


def summary(found: Sequence[Measured], samples: int = 2000) -> dict[str, Any]:
    """All figures, ready for JSON.

    Args:
        found: measured runs, of the same users.
        samples: of the bootstrap.

    Raises:
        DataError: the runs are of different logs.
    """
    first = found[0]
    if any(other.users != first.users or set(other.sources) != set(first.sources) for other in found):
        raise DataError("the runs are of different logs or splits: name runs that differ in seed or model alone")
    old = first.old
    systems: dict[str, Any] = {}
    whole = {name: {measure: _mean([run.systems[name][measure] for run in found]) for measure in LIST_MEASURES}
             for name in first.systems}  # fmt: skip
    for name, values in whole.items():
        entry: dict[str, Any] = {}
        for kind, part in (("old", slice(None, old)), ("new", slice(old, None))):
            if not len(values[_MAIN][part]):
                continue
            entry[kind] = {measure: float(value[part].mean()) for measure, value in values.items()}
            entry[kind]["interval"] = bootstrap_mean(values[_MAIN][part], samples).to_dict()
            beside = paired(values[_MAIN][part], whole[STAGES][_MAIN][part], samples).difference
            entry[kind]["beside_two_stages"] = beside.to_dict()
        systems[name] = entry
    sources = {}
    for name, by_count in first.sources.items():
        parts = {}
        for c in by_count:
            values = {key: _mean([getattr(run.sources[name][c], key) for run in found])
                      for key in ("keeps", "recall", "precision")}  # fmt: skip
            parts[str(c)] = {"keeps": float(values["keeps"].mean()), "recall": float(values["recall"].mean()),
                             _MAIN: float(values["precision"].mean()),
                             "keeps_interval": bootstrap_mean(values["keeps"], samples).to_dict()}  # fmt: skip
        sources[name] = {"candidates": parts, **first.costs[name]}
    return {
        "runs": len(found), "users_old": old, "users_new": len(first.users) - old, "cold": first.cold,
        "systems": systems, "sources": sources, "baselines": {n: _plain(o) for n, o in first.options.items()},
    }  # fmt: skip


def tables(figures: dict[str, Any]) -> str:
    """The figures for people."""
    lines = [
        f"At the cut-off: one list a user, known positives removed; {figures['users_old']} Old users, "
        f"{figures['users_new']} New ones; mean of {figures['runs']} run(s); 95 % intervals over users",
        f"(outside of every list: {figures['cold'].get('unknown_after', 0)} events of "
        f"{figures['cold'].get('unknown_items_after', 0)} items that nobody had before the cut-off)",
    ]
    for kind, title in (("old", "Old users"), ("new", "New users")):
        rows = [(name, entry[kind]) for name, entry in figures["systems"].items() if kind in entry]
        if not rows:
            continue
        lines += ["", f"{title:<20}" + "".join(f"{measure:>13}" for measure in _SHOWN) + f"{'map@10 interval':>20}"]
        for name, entry in rows:
            span = entry["interval"]
            lines.append(f"{name:<20}" + "".join(f"{entry[measure]:>13.4f}" for measure in _SHOWN)
                         + f"{span['low']:>12.4f}-{span['high']:.4f}")  # fmt: skip
    counts = list(next(iter(figures["sources"].values()))["candidates"])
    lines += ["", "Keeps: share of the ranker's best 100 of the whole catalogue among c candidates; then recall of "
              "the new items, and MAP@10 end to end", f"{'candidates by':<20}"
              + "".join(f"{'c = ' + c:>23}" for c in counts) + f"{'CPU ms':>9}{'bytes':>12}"]  # fmt: skip
    for name, entry in figures["sources"].items():
        cells = "".join(f"{part['keeps']:>9.3f}{part['recall']:>7.3f}{part[_MAIN]:>7.4f}"
                        for part in entry["candidates"].values())  # fmt: skip
        lines.append(f"{name:<20}{cells}{entry['cpu_ms']:>9.2f}{entry['bytes']:>12,}")
    return "\n".join(lines)


def _mean(values: list[NDArray[Any]]) -> NDArray[Any]:
    return np.asarray(np.mean(values, axis=0))


def _plain(options: Any) -> Any:
    return dataclasses.asdict(options) if dataclasses.is_dataclass(options) and not isinstance(options, type) else None
