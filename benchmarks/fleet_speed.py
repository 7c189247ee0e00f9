# SPDX-License-Identifier: Apache-2.0
"""How many users a minute does the fleet make personal, beside another commit's in the same run?

    python benchmarks/fleet_speed.py [--beside PYTHON] [--users 120] [--rounds 5] [--runtime ai_edge_litert]

PYTHON is that of an environment with another commit of PocketRec, such as 8ba119b with its own requirements. Each side
exports a model with its own exporter (R: 3,706 items, E = 64, two GRUs of 96, T = 20, B = 16; way `partial`, Adagrad;
not trained, the same weights on both sides) and serves the same users, who repeat a few items of their own:
`--events` to learn from, ten to be judged by. The recipe has `--passes` and the guard, so a user whose personal weights
are kept is trained twice. The sides take turns, and what counts is the median over rounds of

- least CPU milliseconds of a train step, and of an evaluation, of one user's events, which are a window or two;
- CPU milliseconds of making one user personal (`SimulatedDevice.personalise`), in one process;
- CPU milliseconds of a user in the whole fleet (`run_fleet`: global and personal, popular and recent items, ranked on
  the test events), without the start of its processes, and users a minute in `--processes` of them, from the first user
  that is done to the last: on a machine with other work less than the CPU time allows.

Prints a table, and one JSON document as the last line.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np

_ITEMS: Final = 3706
_OWN: Final = 8  # items that a user repeats
_TEST: Final = 10
_WARM: Final = 4  # users before the clock starts


def part(name: str, *modules: str) -> Any:
    """A name of the first of the modules that there is: other commits have it at another address."""
    for module in modules:
        try:
            return getattr(importlib.import_module(f"pocketrec.{module}"), name)
        except (ImportError, AttributeError):
            continue
    raise SystemExit(f"error: this PocketRec has no {name}: compare with 8ba119b or a later commit")


def make(folder: Path) -> None:
    """Export R: FOLDER/model.tflite and FOLDER/item_embeddings.npy, with the weights of FOLDER/weights.npz if there."""
    build_model = part("build_model", "cloud.backbones", "cloud.models")
    config = part("ModelConfig", "cloud.config.model", "cloud.config")()
    export = part("ExportConfig", "cloud.config.export", "cloud.config")(batch=16)
    model, weights = build_model(config, _ITEMS, 1), folder.parent / "weights.npz"
    if weights.exists():
        model.set_weights(list(np.load(weights).values()))
    else:
        np.savez(weights, *model.get_weights())
    started = time.process_time()
    build = part("build_tflite", "export.build")
    made = build(model, config, export, way="partial", optimizer="adagrad", candidates=100)
    seconds = time.process_time() - started
    (folder / "model.tflite").write_bytes(made.content)
    np.save(folder / "item_embeddings.npy", made.item_embeddings)
    print(json.dumps({"bytes": len(made.content), "packed": len(made.skeleton) + len(made.coded),
                      "export_cpu_s": round(seconds, 2)}))  # fmt: skip


def users_of(count: int, events: int) -> list[Any]:
    """Users that nothing is known of before: most of their events are of a few items of their own."""
    kind = part("DeviceUser", "cloud.fleet.device", "cloud.fleet_device")
    generator, users = np.random.default_rng(7), []
    for number in range(count):
        own = generator.integers(1, _ITEMS + 1, _OWN)
        drawn = own[generator.integers(0, _OWN, events + _TEST)]
        other = generator.integers(1, _ITEMS + 1, events + _TEST)
        rows = np.where(generator.random(len(drawn)) < 0.8, drawn, other).astype(np.int32)
        offered = generator.integers(1, _ITEMS + 1, 100).astype(np.int32)
        users.append(kind(f"u{number}", rows[:0], rows[:events], rows[events:], offered))
    return users


def measure(folder: Path, options: argparse.Namespace) -> None:
    """One round of one side."""
    device = part("SimulatedDevice", "cloud.fleet.device", "cloud.fleet_device")(
        folder / "model.tflite", folder / "item_embeddings.npy", options.runtime
    )
    recipe = part("Recipe", "device.contract.recipe", "device.recipe")(passes=options.passes, learning_rate=0.1)
    users = users_of(options.users + _WARM, options.events)
    for user in users[:_WARM]:
        device.personalise(user, recipe)
    started, kept = time.process_time(), []
    for user in users[_WARM:]:
        kept.append(device.personalise(user, recipe).choice)
    each = (time.process_time() - started) * 1e3 / options.users
    few, _ = _fleet(folder, users[: 2 * options.processes], recipe, options)  # for the most part, the start
    cpu, a_minute = _fleet(folder, users, recipe, options)
    whole = (cpu - few) * 1e3 / (len(users) - 2 * options.processes)
    steps = _steps(device.model, users[0].learn)
    found = {**steps, "cpu_ms": each, "fleet_cpu_ms": whole, "a_minute": a_minute,
             "trained_twice": sum(choice != "global" for choice in kept) / len(kept),
             "personal": sum(choice == "personal" for choice in kept) / len(kept)}  # fmt: skip
    print(json.dumps(found))


def _steps(model: Any, rows: Any) -> dict[str, float]:
    """Least CPU milliseconds of a train step and of an evaluation of one person's events."""
    windows = part("training_windows", "device.personal.windows", "device.windows")
    items, targets = (both[0] for both in windows(rows, 0, model.window, model.batch))
    found = {}
    for name, call in (("few_ms", lambda: model.train(items, targets, 0.1, 0.0)),
                       ("few_evaluate_ms", lambda: model.evaluate(items, targets))):  # fmt: skip
        times = []
        for _ in range(30):
            started = time.process_time()
            call()
            times.append((time.process_time() - started) * 1e3)
        found[name] = min(times)
    return found


def _fleet(folder: Path, users: list[Any], recipe: Any, options: argparse.Namespace) -> tuple[float, float]:
    """CPU seconds of the whole fleet's processes, and users a minute, 0 where there are too few to tell."""
    run_fleet = part("run_fleet", "cloud.fleet.fleet", "cloud.fleet")
    system = part("System", "cloud.fleet.fleet", "cloud.fleet")
    files = folder / "model.tflite", folder / "item_embeddings.npy"
    evaluate = part("EvaluateConfig", "cloud.config.evaluate", "cloud.config")()
    resources = part("ResourceConfig", "cloud.config.resources", "cloud.config")(
        processes=options.processes, runtime=options.runtime
    )
    marks: list[float] = []
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as out:
        run_fleet(
            users, [system("global", *files), system("personal", *files, recipe=recipe.to_dict())], Path(out),
            evaluate=evaluate, resources=resources, **_baselines(Path(out) / "baselines"),
            progress=lambda done, total, note="": marks.append(time.perf_counter()),
        )  # fmt: skip
    after, begin = resource.getrusage(resource.RUSAGE_CHILDREN), 2 * options.processes  # all have begun by then
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    done = len(marks) - 1 - begin
    return cpu, 60 * done / (marks[-1] - marks[begin]) if done > 0 else 0.0


def _baselines(folder: Path) -> dict[str, Path]:
    """Popular and recent items, which older commits have without being asked."""
    try:
        files = importlib.import_module("pocketrec.cloud.baselines.files")
    except ImportError:
        return {}
    names = {}
    for name, kind in (("popularity", "popularity:Popularity"), ("recent", "recent:RecentItems")):
        module, _, owner = kind.partition(":")
        baseline = getattr(importlib.import_module(f"pocketrec.cloud.baselines.{module}"), owner)(_ITEMS + 1)
        names[name] = files.save_baseline(folder, name, baseline)
    files.save_index(folder, names)
    return {"baselines": folder}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--beside", metavar="PYTHON", help="of an environment with another commit")
    parser.add_argument("--runtime", default="ai_edge_litert", choices=["ai_edge_litert", "tflite_runtime"])
    for name, value in (("users", 120), ("rounds", 5), ("events", 30), ("passes", 5), ("processes", 2)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--task", choices=["make", "measure"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        return make(options.folder) if options.task == "make" else measure(options.folder, options)
    sides = {"here": sys.executable, **({"beside": options.beside} if options.beside else {})}
    rounds: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    with tempfile.TemporaryDirectory() as base:
        files = {}
        for side, python in sides.items():
            (Path(base) / side).mkdir()
            files[side] = _child(side, python, "make", Path(base) / side)
        tables = [np.load(Path(base) / side / "item_embeddings.npy") for side in sides]
        if not all(np.array_equal(table, tables[0]) for table in tables):
            raise SystemExit("error: the sides have other weights: one exporter rounds otherwise")
        for _ in range(options.rounds):
            for side, python in sides.items():
                rounds[side].append(_child(side, python, "measure", Path(base) / side))
    shown = {
        side: {key: (min if key.startswith("few") else statistics.median)(one[key] for one in own) for key in own[0]}
        for side, own in rounds.items()
    }
    heads = ("step, ms", "evaluation, ms", "personal, ms", "fleet, ms", "users a minute", "trained twice", "bytes",
             "packed", "export, s")  # fmt: skip
    print(" " * 6 + "".join(f"{head:>16}" for head in heads))
    for side, one in shown.items():
        told = [f"{one[key]:.2f}" for key in ("few_ms", "few_evaluate_ms", "cpu_ms", "fleet_cpu_ms")]
        told += [f"{one['a_minute']:.0f}", f"{one['trained_twice']:.0%}"]
        told += [f"{files[side][key]:,}" for key in ("bytes", "packed", "export_cpu_s")]
        print(f"{side:<6}" + "".join(f"{word:>16}" for word in told))
    result: dict[str, Any] = {"runtime": options.runtime, "events": options.events, "sides": shown, "files": files}
    if options.beside:
        pairs = list(zip(rounds["here"], rounds["beside"], strict=True))
        result["ratio"] = round(statistics.median(one["a_minute"] / two["a_minute"] for one, two in pairs), 2)
        for key in ("cpu_ms", "fleet_cpu_ms"):
            result[f"{key}_ratio"] = round(statistics.median(two[key] / one[key] for one, two in pairs), 2)
        print(f"{result['ratio']} times as many users a minute; by CPU time {result['fleet_cpu_ms_ratio']} times, "
              f"{result['cpu_ms_ratio']} times of making them personal")  # fmt: skip
    print(json.dumps({**result, "rounds": rounds}))


def _child(side: str, python: str, task: str, folder: Path) -> dict[str, Any]:
    """The last line of this script, run for one task in an environment; the other's own PocketRec is imported there."""
    environment = {key: value for key, value in os.environ.items() if side == "here" or not key.startswith("PYTHON")}
    words = [python, __file__, *sys.argv[1:], "--task", task, "--folder", str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"error: {python} failed: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
