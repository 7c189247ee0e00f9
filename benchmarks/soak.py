# SPDX-License-Identifier: Apache-2.0
"""Years of one device's use in minutes: does the memory stay flat? ``python benchmarks/soak.py BUNDLE``.

One process trains, recommends and saves in turn, with an event store that keeps a bounded number of events, until it
has made --steps train steps (100,000) and as many recommendations; the state is saved after each training, of a hundred
steps at most. Every hundredth of the way its resident memory is read. Prints a table, and one JSON document as the
last line; exit status 1 where the memory grew by more than 2 MB after the first tenth.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from pocketrec.device import Recommender
from pocketrec.device.base.memory import peak_resident_mb, resident_mb
from pocketrec.device.delivery.bundle import open_bundle
from pocketrec.device.store.database import EventStore

KEEP = 300  # events of the store
NEW = 8  # events of a round
WARM = 0.1  # share of the way that is warm-up
BOUND = 2.0  # MB


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--runtime", default="auto")
    options = parser.parse_args()
    rng = np.random.default_rng(1)
    bundle = open_bundle(options.bundle)
    ids = bundle.vocabulary.ids(range(1, len(bundle.vocabulary) + 1))
    steps = calls = saves = rounds = 0
    series: list[tuple[int, float]] = []
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        store = EventStore(Path(folder, "events"))
        store.retain(events=KEEP)
        recommender = Recommender(bundle, user="u1", state=Path(folder, "state"), store=store, runtime=options.runtime)

        def stepped(done: int, total: int, note: str = "") -> None:
            nonlocal steps
            steps += 1

        while steps < options.steps:
            rounds += 1
            items = rng.choice(ids[:20], NEW)
            recommender.personalise([(str(item), 10_000.0 + NEW * rounds + n) for n, item in enumerate(items)],
                                    resume=rounds % 10 != 0, passes=1 if rounds % 10 == 0 else 2,
                                    progress=stepped)  # fmt: skip
            while calls < steps:
                calls += 1
                if len(recommender.recommend(10)) != min(10, len(ids)):
                    raise RuntimeError("a recommendation is missing")
            recommender.save()
            saves += 1
            if steps * 100 // options.steps >= len(series):
                series.append((steps, resident_mb()))
    after = [megabytes for at, megabytes in series if at >= WARM * options.steps]
    grown = max(after) - after[0]
    result = {
        "runtime": recommender.model.runtime, "steps": steps, "recommendations": calls, "saves": saves,
        "seconds": round(time.monotonic() - started, 1), "rss_warm_mb": round(after[0], 2),
        "rss_end_mb": round(after[-1], 2), "rss_grown_mb": round(grown, 2), "peak_rss_mb": round(peak_resident_mb(), 2),
        "model": bundle.manifest.model, "series": series,
    }  # fmt: skip
    for at, megabytes in series[:: max(1, len(series) // 10)]:
        print(f"{at:>8} steps  {megabytes:8.2f} MB")
    print(f"grown by {grown:.2f} MB after the first tenth (bound: {BOUND} MB)")
    print(json.dumps(result))
    return int(grown > BOUND)


if __name__ == "__main__":
    sys.exit(main())
