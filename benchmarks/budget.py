# SPDX-License-Identifier: Apache-2.0
"""How far `personalise` overshoots its budget with a long history, and what the cap on what is learned from saves.

    python benchmarks/budget.py BUNDLE [--events 100000] [--seconds 1 3] [--runtime tflite_runtime] [--bonus]

An event store is filled with events of one user, drawn by popularity, all after the cut-off. Then, for each budget,
`personalise` is called once with it, a new process's work but for loading Python: opening, replay, training as far as
it comes. `over` is the wall time of the call of `personalise` beyond the budget; the last rows are a training without
a budget, of the latest events that are learned from by default, and of all. The last line is JSON.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from pocketrec.device import Recommender
from pocketrec.device.contract.repeats import Repeats
from pocketrec.device.delivery.bundle import open_bundle
from pocketrec.device.engine.runtime import choose_runtime
from pocketrec.device.personal import guard
from pocketrec.device.personal.budget import Budget
from pocketrec.device.store.database import EventStore


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", help="folder of a bundle")
    parser.add_argument("--events", type=int, default=100_000, help="events after the cut-off (default: 100,000)")
    parser.add_argument("--seconds", type=float, nargs="+", default=[1.0, 3.0], help="budgets (default: 1 3)")
    parser.add_argument("--runtime", default="auto", help="auto, ai_edge_litert or tflite_runtime")
    parser.add_argument("--bonus", action="store_true", help="with a bonus for repeats, which makes the guard's "
                        "comparison the longest part")  # fmt: skip
    parser.add_argument("--whole", type=float, default=60.0, metavar="S", help="end the trainings without a budget "
                        "after S seconds (default: 60)")  # fmt: skip
    args = parser.parse_args()
    bundle = open_bundle(args.bundle)
    if args.bonus:
        bundle.recipe = dataclasses.replace(bundle.recipe, repeats=Repeats(1.0))
    rows = _rows(args.events, len(bundle.vocabulary))
    start = 1.0 + float(bundle.manifest.cut_off or 0)
    with tempfile.TemporaryDirectory() as folder:
        with EventStore(Path(folder) / "events") as store:
            store.retain(events=args.events)
            ids = bundle.vocabulary.ids(rows.tolist())
            store.append([(item, start + place) for place, item in enumerate(ids)])
        found: list[dict[str, Any]] = []
        for seconds in args.seconds:
            found.append(_run(args, bundle, Path(folder), seconds))
        for learned in (guard.LEARNED, args.events):
            guard.LEARNED = learned  # type: ignore[misc]
            found.append({**_run(args, bundle, Path(folder), args.whole), "learned": learned})
    print(f"{'budget s':>9} {'open s':>8} {'call s':>8} {'over s':>8} {'steps':>7}  learned from")
    for row in found:
        print(f"{row['budget_s']:9.1f} {row['open_s']:8.2f} {row['call_s']:8.2f} {row['over_s']:8.2f} "
              f"{row['steps']:7}  {row['events']}, {'stopped' if row['paused'] else 'to its end'}")  # fmt: skip
    print(json.dumps({"runtime": choose_runtime(args.runtime), "history": args.events, "bonus": args.bonus,
                      "runs": found}))  # fmt: skip


def _run(args: argparse.Namespace, bundle: Any, folder: Path, seconds: float) -> dict[str, Any]:
    began = time.perf_counter()
    with Recommender(bundle, user="u1", store=folder / "events", runtime=args.runtime) as recommender:
        opened = time.perf_counter()
        report = recommender.personalise(budget=Budget(seconds=seconds))
        ended = time.perf_counter()
    return {
        "budget_s": seconds, "open_s": opened - began, "call_s": ended - opened,
        "over_s": max(0.0, ended - opened - seconds), "steps": report.paused or report.steps, "events": report.events,
        "paused": bool(report.paused),
    }  # fmt: skip


def _rows(count: int, items: int) -> np.ndarray[Any, Any]:
    """int32 [count], rows drawn by popularity."""
    uniform = np.random.default_rng(1).random(count)
    return np.exp(uniform * np.log(items + 1.0)).astype(np.int32).clip(1, items)


if __name__ == "__main__":
    main()
