# SPDX-License-Identifier: Apache-2.0
"""What the ranker of a second stage gains over the inner product: ``python benchmarks/ranker_gain.py RUN...``.

RUNs are of `pocketrec rank`, of one configuration with several seeds. Figures are those of users, the mean over the
runs first; intervals are over users. *Before the cut-off*: the early model and its ranker on the events between the two
cuts, which neither has seen. *After it*: the final model and its ranker on later events. MRR@20 is of next items in
the whole catalogue, and what was not retrieved is a miss for both; MAP@10 is of one list a user at the cut-off. Beside
them, after the cut-off, popularity, recent popularity and item-kNN as the configuration has them. The last line is
JSON.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.backbones import load_model
from pocketrec.cloud.base.runs import CONFIG_FILE, read_json
from pocketrec.cloud.baselines.baseline import Past
from pocketrec.cloud.baselines.neighbours import ItemNeighbours
from pocketrec.cloud.baselines.popularity import Popularity, RecentPopularity
from pocketrec.cloud.candidates.sets import read_arrays
from pocketrec.cloud.config.load import stored_config
from pocketrec.cloud.config.run import RunConfig
from pocketrec.cloud.data.prepared import load_cloud, load_devices
from pocketrec.cloud.metrics.metrics import HEADLINE, paired, user_values
from pocketrec.cloud.rankers.ranknet import RankNet
from pocketrec.cloud.training.judging import judging_users, list_figures, next_figures
from pocketrec.stages.recipes import rehearsal_parts

Floats = NDArray[np.float64]
#: Part -> the model and the ranker of it, in a run's folder.
PARTS = {"before": ("early.keras", "early.npz"), "after": ("model.keras", "ranker.npz")}


def figures_of(run: Path, config: RunConfig, most: int, parts: list[str]) -> dict[str, tuple[Floats, Floats]]:
    """Part and measure -> a value for each user, with the ranker and without; the same users for every seed."""
    data, found = load_cloud(run), {}
    earliest, between, _ = rehearsal_parts(config, data.before)
    events = {"before": (earliest, between), "after": (data.before, load_devices(run).after)}
    for part in parts:
        model_file, ranker_file = PARTS[part]
        model = load_model(run / "train" / model_file)
        ranker = RankNet.restore(read_arrays(run / "rank" / ranker_file))
        for figures in (next_figures, list_figures):
            measure, ours, plain = figures(config, model, ranker, *events[part], most)
            found[f"{part} {measure}"] = ours, plain
        print(f"{run}: {part} the cut-off done", file=sys.stderr, flush=True)
    return found


def baselines_of(run: Path, config: RunConfig, most: int) -> dict[str, Floats]:
    """MRR@20 after the cut-off of simple systems, for the users of `figures_of`."""
    data, later = load_cloud(run), load_devices(run).after
    past = Past(data.before, len(data.vocabulary), config.seed)
    fitted = {
        "popularity": Popularity.fit(None, past),
        "recent popularity": RecentPopularity.fit(config.baselines.recent_popularity, past),
        "item-kNN": ItemNeighbours.fit(config.baselines.knn, past),
    }
    users = judging_users(data.before, later, most, config.seed)
    found: dict[str, list[Floats]] = {name: [] for name in fitted}
    for user in users.tolist():
        before = data.before.of(int(data.before.find_all(later.users[[user]])[0]))[0]
        after = later.of(user)[0]
        known = np.concatenate([before, after])
        start = len(before)
        for name, system in fitted.items():
            ranks = []
            for place in range(start, len(known)):
                history = known[:place][known[:place] > 0]
                if known[place] and len(history) and system is not None:
                    scores = system.scores(history).astype(np.float64)
                    own = scores[known[place]]
                    scores[0] = -np.inf
                    if config.evaluate.mask_seen:
                        scores[history] = -np.inf
                    scores[known[place]] = own
                    ranks.append(float((scores >= own).sum()) if np.isfinite(own) else np.inf)
            if ranks:  # others have no known event to be judged by
                found[name].append(np.array(ranks))
    return {name: user_values(ranks) for name, ranks in found.items()}


def compared(ours: Floats, plain: Floats) -> dict[str, Any]:
    """Means, their ratio, and the paired difference with its interval."""
    difference = paired(ours, plain, 1000, 1).difference
    return {"ranker": float(ours.mean()), "inner_product": float(plain.mean()),
            "ratio": float(ours.mean() / plain.mean()), "mean": difference.mean, "low": difference.low,
            "high": difference.high, "users": len(ours)}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of `pocketrec rank`")
    parser.add_argument("--users", type=int, default=2000, help="that judge, at most")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS), help="what is measured")
    options = parser.parse_args()
    config = stored_config(read_json(options.runs[0] / CONFIG_FILE))
    each = [figures_of(run, dataclasses.replace(config, ranker=stored_config(read_json(run / CONFIG_FILE)).ranker),
                       options.users, options.parts) for run in options.runs]  # fmt: skip
    rows = {}
    for name in each[0]:
        pooled = [np.mean([run[name][side] for run in each], axis=0) for side in (0, 1)]
        seeds = [float(run[name][0].mean() / run[name][1].mean()) for run in each]
        rows[name] = compared(*pooled) | {"of_seeds": seeds}
    beside = baselines_of(options.runs[0], config, options.users) if "after" in options.parts else {}
    simple = {name: float(values.mean()) for name, values in beside.items()}
    print(f"{'':<16} {'ranker':>8} {'inner product':>14} {'ratio':>6} {'difference, 95 %':>22} {'users':>6}  of seeds")
    for name, row in rows.items():
        interval = f"{row['mean']:+.4f} ({row['low']:+.4f} to {row['high']:+.4f})"
        ratios = " ".join(f"{ratio:.3f}" for ratio in row["of_seeds"])
        print(f"{name:<16} {row['ranker']:>8.4f} {row['inner_product']:>14.4f} {row['ratio']:>6.3f} {interval:>22} "
              f"{row['users']:>6}  {ratios}")  # fmt: skip
    if simple:
        print(f"after the cut-off, {HEADLINE}: " + ", ".join(f"{name} {value:.4f}" for name, value in simple.items()))
    print(json.dumps({"benchmark": "ranker_gain", "runs": len(each), **rows, "baselines": simple}))


if __name__ == "__main__":
    main()
