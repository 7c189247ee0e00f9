# SPDX-License-Identifier: Apache-2.0
"""Dual personalisation beside the bonus for repeats, on the users of a finished run: is there anything left to gain?

    python benchmarks/dual.py RUN [--users 200] [--rates 0.002 0.01 0.05 0.2]

Each device has the bonus for repeats of the run's recipe, and no training (the recipe as it is where it has no bonus);
then personal item rows (`pocketrec.device.personal.item_rows`) are fitted to what it learns from. The rate is chosen as
the rehearsal would with `rehearse.item_rows`: on the early model and the events between the earlier cut and the
cut-off, by the mean gain of the rows that devices keep; the test is read once, for that rate. `unguarded` are rows
that are kept in any case. Gains are paired differences of MRR@20 to the same without rows, user means. The last line is
JSON.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from pocketrec.cloud.config.load import stored_config
from pocketrec.cloud.data.prepared import load_cloud, load_devices
from pocketrec.cloud.fleet.device import SimulatedDevice
from pocketrec.cloud.fleet.fleet import device_users
from pocketrec.cloud.metrics.metrics import paired
from pocketrec.cloud.rehearsal.item_rows import Judged, judge_item_rows
from pocketrec.device.contract.recipe import ItemRowsRecipe
from pocketrec.stages.recipes import rehearsal_parts, repeats_alone

_RATES = (0.002, 0.01, 0.05, 0.2)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN", help="a finished run with a rehearsal")
    parser.add_argument("--users", type=int, default=200, help="users that the rate is chosen on (default: 200)")
    parser.add_argument("--rates", type=float, nargs="+", default=_RATES, help="rates that are tried")
    args = parser.parse_args()
    found = measure(args.run, args.users, [ItemRowsRecipe(rate) for rate in args.rates])
    print(f"{found['rehearsed']} users before the cut-off")
    for one in found["tried"]:
        print(f"  rate {one['rate']:<6g} guarded {_told(one['guarded'])}   unguarded {_told(one['unguarded'])}")
    print(f"{found['users']} test users, rate {found['rate']:g}: without rows {found['plain']:.4f}")
    for name in ("guarded", "unguarded"):
        print(f"  {name:<10} {found['plain'] + found[name]['mean']:.4f}  {_told(found[name])}")
    print(json.dumps(found))


def _told(one: dict[str, Any]) -> str:
    return f"{one['mean']:+.4f} ({one['low']:+.4f} to {one['high']:+.4f}), {one['gained']} : {one['harmed']}"


def measure(run: Path, limit: int, settings: list[ItemRowsRecipe]) -> dict[str, Any]:
    """All figures."""
    config = stored_config(json.loads((run / "config.json").read_text(encoding="utf-8")))
    recipe = json.loads((run / "rehearse" / "recipe.json").read_text(encoding="utf-8"))
    recipe.pop("item_rows", None)
    if (alone := repeats_alone(recipe)) is not None:
        recipe = {**alone, "guard": {**alone["guard"], "enabled": False}}  # at its full strength for everybody
    data, devices = load_cloud(run), load_devices(run)
    earliest, later, learn = rehearsal_parts(config, data.before)
    samples, seed = config.evaluate.bootstrap, config.seed

    def compared(judged: Judged, one: ItemRowsRecipe) -> dict[str, Any]:
        return {name: paired(values[one], judged.plain, samples, seed).to_dict()
                for name, values in (("guarded", judged.guarded), ("unguarded", judged.unguarded))}  # fmt: skip

    some, _ = device_users(earliest, later, learn, limit=limit, seed=seed)
    early = run / "rehearse" / "models" / f"{recipe['way']}-{recipe['optimizer']}"
    rehearsed = judge_item_rows(_device(early), some, recipe, settings, config.evaluate)
    tried = [{"rate": one.rate, **compared(rehearsed, one)} for one in settings]
    best = max(range(len(tried)), key=lambda place: tried[place]["guarded"]["mean"])
    users, _ = device_users(data.before, devices.after, devices.learn, limit=config.evaluate.users, seed=seed)
    judged = judge_item_rows(_device(run / "export"), users, recipe, [settings[best]], config.evaluate)
    return {"rehearsed": len(some), "tried": tried, "rate": settings[best].rate, "users": len(users),
            "plain": float(judged.plain.mean()), **compared(judged, settings[best])}  # fmt: skip


def _device(folder: Path) -> SimulatedDevice:
    return SimulatedDevice(folder / "model.tflite", folder / "item_embeddings.npy")


if __name__ == "__main__":
    main()
