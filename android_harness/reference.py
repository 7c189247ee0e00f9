# SPDX-License-Identifier: Apache-2.0
"""Write what the Java tests compare with: ``python android_harness/reference.py BUNDLE FOLDER``.

BUNDLE is what tests/make_bundle.py has written. FOLDER gets bundles around the same model files, and what the Python
runner makes of them: numbers.json (embeddings, scores, losses, draws), users.json (histories of the synthetic log,
reports, recommendations) and states that Python has saved. Needs pocketrec.cloud.data; no TensorFlow.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

from pocketrec.cloud.data.synthetic import Shape, simulate
from pocketrec.device.contract import tensorfile
from pocketrec.device.contract.packed import Quantised, Range, encode, pack_skeleton, source, source_names
from pocketrec.device.delivery.bundle import Bundle, open_bundle
from pocketrec.device.personal.windows import context, log_uniform
from pocketrec.device.recommender import Recommender
from pocketrec.export.bundle.content import BundleContent
from pocketrec.export.bundle.write import write_bundle_files

USERS, EVENTS, STEPS = 50, 90, 20

# The model of the tiny bundle is untrained, so everybody would gain; these priors make all three choices come up.
_PRIOR = {
    "personal": {
        "gain": {"intercept": -0.1, "slope": 0.02},
        "loglik": {"expected": {"intercept": 0.1, "slope": 0.05}, "weight": 0.15, "strength": 6.0},
        "rr": {"expected": {"intercept": 0.02}, "weight": 0.5, "strength": 12.0},
    },
    "blend": {
        "gain": {"intercept": -0.03, "slope": 0.01},
        "loglik": {"expected": {"intercept": 0.05, "slope": 0.02}, "weight": 0.1, "strength": 6.0},
        "rr": {"weight": 0.3, "strength": 12.0},
    },
}
# All shares, each with a chance of harm: which wins depends on the length of the history and on what was seen.
_WIDE: dict[str, Any] = {
    name: {**_PRIOR["personal"], "gain": {"intercept": -0.06 * share, "slope": 0.02 * share},
           "spread": {"intercept": 0.02 + 0.08 * share**2, "slope": -0.01 * share}}
    for name, share in (("quarter", 0.25), ("blend", 0.5), ("most", 0.75), ("personal", 1.0))
}  # fmt: skip
RECIPES: dict[str, dict[str, Any]] = {
    "plain": {"learning_rate": 0.1, "passes": 4, "minimum_events": 2, "proximal": 0.01, "guard": {"prior": _PRIOR}},
    "raised": {
        "learning_rate": 0.05, "passes": 3, "targets": "all",
        "repeats": {"strength": 1.0, "decay": 0.9, "power": 0.5, "follows": 0.5},
        "guard": {"prior": _PRIOR, "threshold": 0.02},
    },
    "timed": {
        "learning_rate": 0.05, "passes": 3, "targets": "all",
        "repeats": {"strength": 1.0, "decay": 1.0, "power": 0.5, "follows": 0.5, "time_power": 0.5,
                    "slope": 0.1, "headroom": 0.4},
        "guard": {"prior": _WIDE, "threshold": 0.002, "price": 0.05},
    },
    "sampled": {"learning_rate": 0.1, "passes": 2, "guard": {"prior": _PRIOR}},
    "cloze": {"learning_rate": 0.1, "passes": 2, "replay": 0.5, "guard": {"prior": _PRIOR}},
}  # fmt: skip


def main(made: Path, folder: Path) -> None:
    """Write everything."""
    histories, cut_off = _histories(len(open_bundle(made).vocabulary))
    bundles = {}
    for name, recipe in RECIPES.items():
        origin = made.with_name(f"{made.name}.cloze") if name == "cloze" else made
        model_file = made.with_name(made.name + ".sampled.tflite") if name == "sampled" else origin / "model.tflite"
        bundles[name] = _bundle(folder / name, origin, model_file, recipe, list(histories), cut_off)
    numbers = {name: _numbers(bundle) for name, bundle in bundles.items() if name not in ("raised", "timed")}
    for name in ("reference", "packed", "lean"):
        # As it was written: the device tests may have opened it since, which leaves files of its own.
        left = shutil.ignore_patterns(".*", *(["model.tflite"] if name == "packed" else []))
        shutil.copytree(made.with_name(f"{made.name}.{name}"), folder / name, ignore=left, dirs_exist_ok=True)
    numbers["reference"] = _numbers(open_bundle(folder / "reference"))
    _packed(folder / "coded", open_bundle(made))
    users = {name: _users(bundle, histories, folder) for name, bundle in bundles.items()}
    users["lean"] = _lean_users(open_bundle(folder / "lean"))
    _altered_states(folder)
    draws = []
    for count, items, seed, step in ((9, 60, 20210419, 0), (99, 1_000_000, 20210419, 12345), (9, 7, 0, 2**31 - 1)):
        rows = log_uniform(count, items, seed, step).tolist()
        draws.append({"count": count, "items": items, "seed": seed, "step": step, "rows": rows})
    _write(folder / "numbers.json", {"models": numbers, "draws": draws})
    _write(folder / "users.json", {"histories": histories, "users": users})


def _histories(items: int) -> tuple[dict[str, list[tuple[str, float]]], float]:
    """Events of each user of a small synthetic log, and its cut-off; the most frequent item is row 1 of the bundle."""
    log = simulate(Shape(seed=3, users=USERS, items=items, events=EVENTS, categories=6)).log
    ranks = np.empty(items, np.int64)
    ranks[np.argsort(-np.bincount(log.items.codes, minlength=items), kind="stable")] = np.arange(1, items + 1)
    histories: dict[str, list[tuple[str, float]]] = {f"u{user}": [] for user in range(USERS)}
    for user, row, time in zip(log.users.codes, ranks[log.items.codes], log.timestamps, strict=True):
        histories[f"u{user}"].append((f"item {row}", float(time)))  # the last row has another id: an unknown item
    return histories, float(np.quantile(log.timestamps, 0.6))


def _bundle(
    folder: Path, made: Path, model_file: Path, recipe: dict[str, Any], users: list[str], cut_off: float
) -> Bundle:
    origin = open_bundle(made)
    sampled = model_file.name.endswith(".sampled.tflite")
    model = {**origin.manifest.model, **({"loss": "sampled_softmax", "negatives": 16} if sampled else {})}
    rows = np.random.default_rng(7).permuted(np.tile(np.arange(1, len(origin.vocabulary) + 1), (len(users), 1)), axis=1)
    write_bundle_files(
        folder,
        BundleContent(
            model_file=model_file.read_bytes(),
            items=origin.vocabulary.ids(range(1, len(origin.vocabulary) + 1)),
            recipe=recipe,
            card="# A bundle for the Java tests\n",
            model=model,
            tensors=origin.manifest.tensors,
            candidates=(users[: len(users) * 4 // 5], rows[: len(users) * 4 // 5, :25]),
            cut_off=cut_off,
            shards=3,
        ),
        folder.with_name(folder.name + ".zip"),
    )
    return open_bundle(folder)


def _packed(folder: Path, origin: Bundle) -> None:
    """A packed bundle whose model file is not a model, but has weights of every coding in it."""
    rng = np.random.default_rng(11)
    sparse = (rng.integers(-127, 128, (24, 10)) * (rng.random((24, 10)) < 0.3)).astype(np.int8)
    upper = (rng.random(34).astype("<f4").view("<u4") & 0xFFFF0000).view("<f4")
    tensors = {
        "a": Quantised(sparse, upper[:24].reshape(24, 1)),
        "b": Quantised(rng.integers(-127, 128, (24, 10)).astype(np.int8), upper[24:].reshape(1, 10)),
        "c": Quantised(np.array([1.5, -2.0, 6e-8, 0.1, 65504.0, -0.0], np.float16), None),
        "d": Quantised(rng.normal(size=(3, 5)).astype(np.float32), None),
    }
    content, ranges = bytearray(rng.bytes(501)), []
    for name in source_names(tensors):
        data = source(tensors, name)
        if data:
            ranges.append(Range(len(content) + 3, len(data), name, 0))
            content += rng.bytes(3) + data + rng.bytes(5)
    ranges.append(Range(40, 16, "a", 8))
    content[40:56] = source(tensors, "a")[8:24]
    write_bundle_files(
        folder,
        BundleContent(
            model_file=bytes(content),
            items=["item"],
            recipe={},
            card="# Not a model\n",
            model=origin.manifest.model,
            tensors=origin.manifest.tensors,
            packed=(pack_skeleton(bytes(content), ranges), encode(tensors)),
        ),
    )


def _numbers(bundle: Bundle) -> dict[str, Any]:
    """Embedding and scores before and after 20 train steps, and the steps' losses; those of few windows as well."""
    model = bundle.load_model()
    rng = np.random.default_rng(5)
    rows = rng.integers(1, model.items + 1, (model.batch, model.window + 1), dtype=np.int32)
    rows[0, 3:] = 0
    items, targets = rows[:, :-1].copy(), rows[:, -model.targets :].copy()
    one = context(rows[1, :-2], model.window)
    candidates = rng.integers(1, model.items + 1, model.candidates, dtype=np.int32)
    negatives = [log_uniform(model.negatives, model.items, 1, step) if model.sampled else None for step in range(STEPS)]
    loss, rank = model.evaluate(items, targets, negatives[0])
    before = {"embedding": model.embed(one).tolist(), "scores": model.infer(one, candidates).tolist()}
    start = model.export_weights()
    losses = [model.train(items, targets, 0.05, 0.1, drawn) for drawn in negatives]
    few, own = items.copy(), targets.copy()
    few[model.small :] = own[model.small :] = 0
    after = {"embedding": model.embed(one).tolist(), "scores": model.infer(one, candidates).tolist()}
    model.import_weights(start)
    judged = model.evaluate(few, own, negatives[0])
    return {
        "items": items.ravel().tolist(),
        "targets": targets.ravel().tolist(),
        "few": {"small": model.small, "loss": judged[0].ravel().tolist(), "rank": judged[1].ravel().tolist(),
                "losses": [model.train(few, own, 0.05, 0.1, drawn) for drawn in negatives],
                "embedding": model.embed(one).tolist()},
        "context": one.ravel().tolist(),
        "candidates": candidates.tolist(),
        "loss": loss.ravel().tolist(),
        "rank": rank.ravel().tolist(),
        "before": before,
        "losses": losses,
        "after": after,
    }


def _users(bundle: Bundle, histories: dict[str, list[tuple[str, float]]], folder: Path) -> dict[str, Any]:
    """Each user personalised with all events; the first ones saved after two thirds of them, and then resumed."""
    outcomes = {}
    for place, (user, events) in enumerate(histories.items()):
        recommender = Recommender(bundle, user=user)
        report = recommender.personalise(events).to_dict()
        now = events[-1][1] + 500.0
        outcomes[user] = {"report": report, "now": now, "recommended": recommender.recommend(10, now=now),
                          "embedding": recommender.embed().tolist()}  # fmt: skip
        if place < 8:
            outcomes[user]["resumed"] = _resumed(bundle, user, events, folder / f"{bundle.folder.name}.{user}.state")
    return outcomes


def _altered_states(folder: Path) -> None:
    """States with a right checksum and content that no training makes."""
    files = (tensorfile.load(path) for path in sorted(folder.glob("plain.*.state")))
    file = next(file for file in files if any(name.startswith("weights/") for name in file.tensors))
    for kind in ("weights", "times", "rows", "trained"):
        tensors, metadata = {name: value.copy() for name, value in file.tensors.items()}, dict(file.metadata)
        if kind == "weights":
            tensors[next(name for name in tensors if name.startswith("weights/"))].flat[0] = np.nan
        elif kind == "trained":
            metadata["trained"] = "1000000"
        else:
            tensors[f"history/{kind}"][0] = {"rows": 2**30, "times": 1e300}[kind]
        (folder / f"altered.{kind}.state").write_bytes(tensorfile.dump(tensors, metadata))


def _lean_users(bundle: Bundle) -> dict[str, Any]:
    """Two users of the lean bundle, with items of the head, of their shard, and of categories known and unknown."""
    outcomes = {}
    for user in ("u0", "u7"):
        recommender = Recommender(bundle, user=user)
        items = [f"item {1 + place * 7 % 60}" for place in range(40)]
        events = [(item, 2000.0 + place, "abcd?"[place % 5].replace("?", "")) for place, item in enumerate(items)]
        report = recommender.personalise(events).to_dict()
        outcomes[user] = {"events": events, "report": report, "recommended": recommender.recommend(10),
                          "embedding": recommender.embed().tolist(), "history": recommender.history}  # fmt: skip
    return outcomes


def _resumed(bundle: Bundle, user: str, events: list[tuple[str, float]], path: Path) -> dict[str, Any]:
    cut = len(events) * 2 // 3
    recommender = Recommender(bundle, user=user, state=path)
    recommender.personalise(events[:cut])
    recommender.save()
    report = recommender.personalise(events[cut:], resume=True).to_dict()
    return {"cut": cut, "report": report, "recommended": recommender.recommend(10)}


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
