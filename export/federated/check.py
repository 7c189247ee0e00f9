# SPDX-License-Identifier: Apache-2.0
"""The gate of contribution files: gradients on every runtime found here are those of a gradient tape over Keras layers.

The inputs have the same item several times in a window and among the targets, so that an op that keeps one of several
sums (SCATTER_ND is not defined for duplicates everywhere) is refused.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pocketrec.cloud.backbones import ITEM_EMBEDDING
from pocketrec.device.base.array import Array
from pocketrec.device.base.errors import ExportError
from pocketrec.device.contract import names as contract
from pocketrec.device.contract.federated import CONTRIBUTION_FILE, KEPT
from pocketrec.device.engine.runtime import find_runtimes
from pocketrec.device.federated.probe import WEIGHTS
from pocketrec.device.personal.windows import log_uniform
from pocketrec.export.federated.build import ContributionFile
from pocketrec.export.gate.gate import builtin_ops, obtainable
from pocketrec.export.gate.reference import Reference
from pocketrec.export.rankers.ranker import make_ranker

#: Largest difference of an entry of a gradient, or of the loss, as a share of the largest entry.
BOUND = 1e-4
_BATCHES = 3


def check_contribution(file: ContributionFile, model: keras.Model, seed: int) -> dict[str, Any]:
    """Run the check on every runtime.

    Args:
        file: what `build_contribution` made.
        model: the Keras model that it was made from.
        seed: of the inputs.

    Returns:
        ``ops``: builtin ops of the file with their counts; ``runtimes``: by runtime ``version`` and ``difference``;
        ``missing``: runtimes that do not exist for this Python, with the reason.

    Raises:
        ExportError: a gradient differs, an op is not built into device runtimes, or a runtime that exists for this
            Python is not installed.
    """
    ops = builtin_ops(file.content)
    inputs = _inputs(file, seed)
    expected = _expected(file, model, inputs)
    found: dict[str, Any] = {}
    missing: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / CONTRIBUTION_FILE).write_bytes(file.content)
        np.savez(Path(folder) / "inputs.npz", **inputs)
        for runtime in find_runtimes():
            if not runtime.installed and runtime.name in obtainable():
                raise ExportError(f"the contribution file cannot be checked on {runtime.name}: {runtime.problem}")
            if not runtime.installed:
                missing[runtime.name] = runtime.problem
                continue
            version, outputs = _probe(Path(folder), runtime.name)
            difference = {name: _difference(outputs[name], value) for name, value in expected.items()}
            worst = max(difference, key=lambda name: difference[name])
            if not difference[worst] <= BOUND:  # a NaN fails too
                raise ExportError(
                    f"on {runtime.name} the gradient's {worst} differs from Keras' by {difference[worst]:.2e} of its "
                    f"largest entry, more than {BOUND:.0e}: the file was not written; report this with the "
                    "configuration"
                )
            found[runtime.name] = {"version": version, "difference": difference[worst]}
    return {"ops": ops, "runtimes": found, "missing": missing}


def _inputs(file: ContributionFile, seed: int) -> dict[str, Array]:
    """Windows of every length over few items, so that most stand in them more than once."""
    facts, rng = file.facts, np.random.default_rng(seed)
    batch, window, items = facts["batch"], facts["window"], facts["items"]
    few = np.unique(rng.integers(1, items + 1, max(2, window // 2), dtype=np.int32))
    lengths = rng.integers(1, window + 1, (_BATCHES, batch, 1))
    lengths[0, 0], lengths[0, 1:2] = window, 1
    rows = np.where(np.arange(window) < lengths, rng.choice(few, (_BATCHES, batch, window)), contract.PADDING)
    others = np.concatenate([few, [contract.PADDING], rng.integers(1, items + 1, 3, dtype=np.int32)])
    targets = np.where(rows > 0, rng.choice(others, rows.shape), contract.PADDING).astype(np.int32)
    rows[-1, -1:], targets[-1, -1:] = contract.PADDING, contract.PADDING  # a window that is not used
    return {
        "items": rows.astype(np.int32),
        "targets": targets if facts["causal"] else targets[..., :1],
        KEPT: _kept(rng, (_BATCHES, batch, window, file.table.shape[1])),
        "negatives": np.stack([log_uniform(facts["negatives"], items, seed, step) for step in range(_BATCHES)]),
        **{WEIGHTS + name: value for name, value in file.weights.items()},
    }


def _kept(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Dropout for all batches but the first, which has none."""
    kept = (rng.random(shape) >= 0.5) * np.float32(2.0)
    kept[0] = 1.0
    return kept.astype(np.float32)


def _expected(file: ContributionFile, model: keras.Model, inputs: dict[str, Array]) -> dict[str, Array]:
    """The same outputs by Keras layers and a gradient tape."""
    reference = Reference(model, file.table, weights={n: v for n, v in file.weights.items() if n != ITEM_EMBEDDING},
                          ranker=make_ranker(file.facts["ranker"]))  # fmt: skip
    named = {f"{layer.name}_{variable.name}": variable
             for layer in reference.model.layers for variable in layer.weights}  # fmt: skip
    table = reference.model.get_layer(ITEM_EMBEDDING).weights[0]
    watched = [table if name == ITEM_EMBEDDING else named[name] for name in file.weights]
    found: dict[str, list[Array]] = {name: [] for name in ("loss", "count", *file.weights)}
    for place in range(_BATCHES):
        items, targets = tf.constant(inputs["items"][place]), tf.constant(inputs["targets"][place])
        reference.drop(inputs[KEPT][place])
        negatives = inputs["negatives"][place] if file.facts["negatives"] else None
        with tf.GradientTape() as tape:
            if ITEM_EMBEDDING in file.weights:  # what the reference scores with is the layer's own variable
                reference.table = tf.convert_to_tensor(table)
            loss = tf.reduce_sum(reference.position_losses(items, targets, negatives))
        gradients = tape.gradient(loss, [variable.value for variable in watched])
        found["loss"].append(loss.numpy())
        found["count"].append(np.array((inputs["targets"][place] > 0).sum(), np.float32))
        for name, gradient in zip(file.weights, gradients, strict=True):
            dense = tf.convert_to_tensor(gradient).numpy()
            found[name].append(dense[1:] if name == ITEM_EMBEDDING else dense)
    return {name: np.stack(values) for name, values in found.items()}


def _difference(found: Array, expected: Array) -> float:
    return float(np.abs(found - expected).max() / max(1e-6, float(np.abs(expected).max())))


def _probe(folder: Path, runtime: str) -> tuple[str, dict[str, Array]]:
    outputs = folder / f"{runtime}.npz"
    command = [sys.executable, "-P", "-m", "pocketrec.device.federated.probe"]
    command += [CONTRIBUTION_FILE, "inputs.npz", outputs.name, runtime]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise ExportError(f"the contribution file does not run on {runtime}: {reason}: `pocketrec doctor` says what is "
                          "installed")  # fmt: skip
    with np.load(outputs) as arrays:
        return done.stdout.strip().splitlines()[-1], dict(arrays)
