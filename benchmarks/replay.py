# SPDX-License-Identifier: Apache-2.0
"""How many older windows should a device replay when it trains on what is new?

    python benchmarks/replay.py runs/taobao-categories [--users 300] [--shares 0 1 4 16] [--parts 8]

RUN is a finished run. Each user's later events come in parts; after each the device continues from its personal weights
(`resume`), replaying some older windows for each new one. Compared on the user's test events with training once from
the global weights on all of them, and with the global weights; full ranking, no guard, no bonus for repeats, one
thread. Two recipes: the run's own, and one of three times the rate without the pull to the global weights, in which
forgetting shows. Prints a table, and one JSON document as the last line.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.fleet.device import DeviceUser, known_positions
from pocketrec.cloud.fleet.fleet import device_users
from pocketrec.cloud.metrics.metrics import ranks
from pocketrec.device.contract.recipe import Recipe
from pocketrec.device.delivery.bundle import open_bundle
from pocketrec.device.engine.model import Model
from pocketrec.device.personal.options import Start
from pocketrec.device.personal.training import fine_tune, steps_of
from pocketrec.device.personal.windows import context


def reciprocal(model: Model, user: DeviceUser) -> float:
    """The user's MRR@20 on the test events, under the present weights."""
    rows, places = known_positions(user)
    embedded = np.stack([model.embed(context(rows[:place], model.window)) for place in places])
    rank = ranks(embedded @ model.catalogue().T, rows[places])
    return float(np.where(rank <= 20, 1 / rank, 0.0).mean())


def in_parts(model: Model, user: DeviceUser, recipe: Recipe, parts: int, share: float) -> int:
    """Train as a device does that resumes after each part of the events; gives the train steps."""
    recipe, since, step = dataclasses.replace(recipe, replay=share), user.known_before, 0
    known = since
    for end in np.linspace(since, len(user.history), parts + 1).round().astype(int)[1:]:
        rows, replay = user.history[:end], since if known > since else None
        fine_tune(model, rows, known, recipe, Start(step=step, replay_from=replay))
        step += steps_of(model, rows, known, recipe.passes, share, replay)
        known = end
    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--users", type=int, default=300)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.0, 1.0, 4.0, 16.0])
    parser.add_argument("--parts", type=int, default=8)
    parser.add_argument("--runtime", default="auto")
    options = parser.parse_args()

    data = options.run / "data"
    after = Sequences.load(data / "devices" / "after.npz")
    learn = np.load(data / "devices" / "learn.npy")
    users, _ = device_users(Sequences.load(data / "cloud" / "before.npz"), after, learn, limit=options.users)
    bundle = open_bundle(options.run / "bundle")
    model = bundle.load_model(options.runtime)
    reference = model.export_weights()
    own = bundle.recipe
    recipes = {"own": own, "strong": dataclasses.replace(own, learning_rate=3 * own.learning_rate, proximal=0.0)}
    result: dict[str, Any] = {"run": options.run.name, "users": len(users), "parts": options.parts, "recipes": {}}
    for name, recipe in recipes.items():
        ways: dict[str, list[tuple[float, int]]] = {}
        for user in users:
            model.import_weights(reference)
            ways.setdefault("global", []).append((reciprocal(model, user), 0))
            fine_tune(model, user.history, user.known_before, recipe)
            steps = steps_of(model, user.history, user.known_before, recipe.passes)
            ways.setdefault("afresh", []).append((reciprocal(model, user), steps))
            for share in options.shares:
                model.import_weights(reference)
                steps = in_parts(model, user, recipe, options.parts, share)
                ways.setdefault(f"replay {share:g}", []).append((reciprocal(model, user), steps))
        base = np.array([value for value, _ in ways["afresh"]])
        table = {}
        print(f"recipe {name}: rate {recipe.learning_rate:g}, {recipe.passes} passes, pull {recipe.proximal:g}")
        print(f"{'':12} {'MRR@20':>8} {'to afresh, 95 %':>22} {'steps':>7}")
        for way, seen in ways.items():
            values, steps_made = np.array([value for value, _ in seen]), float(np.mean([steps for _, steps in seen]))
            difference = values - base
            half = 1.96 * float(difference.std(ddof=1)) / len(values) ** 0.5
            low, high = difference.mean() - half, difference.mean() + half
            table[way] = {"mrr20": values.mean(), "low": low, "high": high, "steps": steps_made}
            print(f"{way:12} {values.mean():8.4f} {low:+11.4f} {high:+10.4f} {steps_made:7.1f}")
        result["recipes"][name] = table
    print(json.dumps(result))


if __name__ == "__main__":
    main()
