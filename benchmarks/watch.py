# SPDX-License-Identifier: Apache-2.0
"""How soon a device leaves personal weights that are worse: ``python benchmarks/watch.py build/test/bundle``.

Each of `--users` users learns from 300 events of three items, has 100 more of them, and then takes up four other items.
Told of each: the mean difference in MRR (to rank 100, personal less global) over the next 250 events, and after how
many the watch (device/personal/watch.py) goes back to the global weights; - = not within 400. Then the run length where
nothing is wrong: ranks of the global weights against others drawn from the same, 4,000 events at a time. The last line
is JSON.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np

from pocketrec.device import Recommender
from pocketrec.device.personal import watch
from pocketrec.device.state import watching

OLD, MORE, NEW, LOOKED = 300, 100, 400, 250


def alarm(differences: np.ndarray) -> int | None:
    """Events up to the first alarm; None = there is none."""
    state = watch.Watch()
    for place, difference in enumerate(differences.tolist(), 1):
        state = state.after([difference])
        if state.alarm:
            return place
    return None


def reciprocal(recommender: Recommender, events: int) -> np.ndarray:
    """1 / rank of the latest events by the global weights and by those that stay in use, float64 [n, 2]."""
    ranks = recommender._watching.quality.ranks[-events:].astype(np.float64)
    return np.where(ranks > 0, 1 / np.maximum(ranks, 1), 0.0)


def changed(bundle: Path, seed: int) -> np.ndarray:
    """A user's 1 / rank before and after the change, [MORE + NEW, 2]."""
    generator = np.random.default_rng(seed)
    items = generator.permutation(np.arange(1, 60))

    def events(count: int, chosen: np.ndarray, begin: int) -> list[tuple[str, float]]:
        return [(f"item {row}", begin + place) for place, row in enumerate(generator.choice(chosen, count).tolist())]

    with Recommender(bundle, user=f"u{seed % 20}") as recommender:
        recommender.personalise(events(OLD, items[:3], 1000))
        for count, chosen, begin in ((MORE, items[:3], 2000), (NEW, items[3:7], 3000)):
            recommender.add(events(count, chosen, begin))
            recommender.quality()
        return reciprocal(recommender, MORE + NEW)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--users", type=int, default=24)
    options = parser.parse_args()
    average, watch.AVERAGE_RUN = watch.AVERAGE_RUN, 10**12  # the weights stay, whatever is seen
    watching.AT_ONCE = OLD + MORE + NEW
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(options.bundle, Path(folder, "bundle")))
        found = [changed(copy, seed) for seed in range(options.users)]
    watch.AVERAGE_RUN = average
    rows = []
    for one in found:
        differences = one[:, 1] - one[:, 0]
        loss, noticed = float(differences[MORE : MORE + LOOKED].mean()), alarm(differences)
        rows.append({"difference": round(loss, 4), "noticed": None if noticed is None else noticed - MORE})
    rows.sort(key=lambda row: row["difference"] or 0.0)
    print("difference in MRR   noticed after")
    for row in rows:
        print(f"{row['difference']:>+17.4f}   {'-' if row['noticed'] is None else row['noticed']:>13}")
    generator, ranks = np.random.default_rng(0), np.concatenate([one[:, 0] for one in found])
    runs = [alarm(generator.choice(ranks, 4000) - generator.choice(ranks, 4000)) or 4000 for _ in range(40)]
    clear = [row["noticed"] for row in rows if (row["difference"] or 0.0) <= -0.05]
    print(f"nothing wrong: {np.mean(runs):.0f} events on average to a false alarm, at most 4,000 ({average} promised)")
    print(json.dumps({"rows": rows, "clear": len(clear), "latest": max((n or 10**6 for n in clear), default=None),
                      "run": float(np.mean(runs)), "promised": average}))  # fmt: skip


if __name__ == "__main__":
    main()
