# SPDX-License-Identifier: Apache-2.0
"""How much sooner is a model as good that goes on from last week's, on the same log a week later?

    python benchmarks/warm_start.py CONFIG [--set KEY=VALUE] [--days 7]

The log of the configuration is cut back by so many days, and a model is trained on what is left of it before the
configuration's cut-off: last week's. Then two trainings on the log as it is start in different ways: afresh,
and from last week's model (train.warm_start). Both train on the same events and are judged after every epoch by the
same validation slice, all of whose events last week's model has not seen; nothing at or after the cut-off is looked at.
Time is the processor's, of all threads, with the building of the graph and without the judging. What counts is the time
until a training first reaches the best figure of the fresh one. Prints a table, and one JSON document as the last line.
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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", metavar="CONFIG")
    parser.add_argument("--set", dest="overrides", metavar="KEY=VALUE", action="append", default=[])
    parser.add_argument("--days", type=float, default=7.0, help="by which the log has grown")
    parser.add_argument("--share", type=float, default=0.1, help="of the events, for validation")
    options = parser.parse_args()
    from pocketrec.cloud.config.load import load_config
    from pocketrec.cloud.data.readers import read_log
    from pocketrec.cloud.data.split import split_log

    config = load_config(options.config, [*options.overrides, "train.validation=0"])
    log = read_log(config.data)
    then = log.take(log.timestamps < log.timestamps.max() - options.days * 86400)
    earlier, now = (split_log(part, config.split, config.data) for part in (then, log))
    print(f"events: {len(then):,} then, {len(log):,} now; items: {len(earlier.vocabulary):,} then, "
          f"{len(now.vocabulary):,} now")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        result = _compare(config, earlier, now, options.share, Path(folder))
    print(f"{'':<8}{'epochs':>8}{'best mrr@20':>14}{'CPU s to reach ' + format(result['goal'], '.4f'):>28}")
    for name in ("afresh", "warm"):
        one = result[name]
        reached = "never" if one["reached"] is None else f"{one['reached']:.1f}"
        print(f"{name:<8}{len(one['curve']):>8}{max(one['curve']):>14.4f}{reached:>28}")
    print(f"ratio {result['ratio']}: {result['new_items']} items are new, the slice has {result['positions']:,} events")
    print(json.dumps({"config": options.config, "days": options.days, **result}))


def _compare(config: Any, earlier: Any, now: Any, share: float, folder: Path) -> dict[str, Any]:
    from pocketrec.cloud.training.trainer import TrainJob, train
    from pocketrec.cloud.training.validation import slice_begin, validation_slice
    from pocketrec.cloud.training.warm_start import WarmStart, trained_tensors

    def job(sequences: Any, items: int) -> TrainJob:
        seen = config.evaluate.mask_seen
        return TrainJob(config.model, config.train, sequences, items, seed=config.seed, mask_seen=seen)

    last = train(job(earlier.before, len(earlier.vocabulary)), folder, name="last")
    until = float(earlier.before.timestamps.max())
    rows = np.array([0, *earlier.vocabulary.rows(now.vocabulary.ids)], np.int64)
    warm = WarmStart("last week's", trained_tensors(last.model), rows, until)
    begin = slice_begin(np.sort(now.before.timestamps), share, until)
    learned, _ = now.before.cut(begin)

    def curve(start: WarmStart | None) -> tuple[list[float], list[float]]:
        figures: list[float] = []
        seconds: list[float] = []
        marks = [time.process_time()]

        def judge(model: Any, entry: dict[str, Any]) -> bool:
            seconds.append(time.process_time() - marks[0] + (seconds[-1] if seconds else 0.0))
            _, where = validation_slice(
                model, now.before, share, config.model.window, mask_seen=config.evaluate.mask_seen, until=until
            )
            figures.append(where.measure()["val_mrr@20"] if where else 0.0)
            counted.append(len(where.where) if where else 0)
            marks[0] = time.process_time()
            return False

        name = "afresh" if start is None else "warm"
        train(dataclasses.replace(job(learned, len(now.vocabulary)), start=start), folder, name=name, watch=judge)
        return figures, seconds

    counted: list[int] = []
    found: dict[str, Any] = {}
    curves = {"afresh": curve(None), "warm": curve(warm)}
    goal = max(curves["afresh"][0])
    for name, (figures, seconds) in curves.items():
        reached = next((spent for figure, spent in zip(figures, seconds, strict=True) if figure >= goal), None)
        found[name] = {"curve": figures, "cpu_s": seconds, "reached": reached}
    one, two = found["warm"]["reached"], found["afresh"]["reached"]
    return {"goal": goal, **found, "ratio": None if one is None else round(one / two, 3),
            "new_items": len(rows) - 1 - warm.known, "positions": counted[0]}  # fmt: skip


if __name__ == "__main__":
    main()
