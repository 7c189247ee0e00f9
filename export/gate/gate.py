# SPDX-License-Identifier: Apache-2.0
"""The gate: a converted model is published only if it behaves, on every runtime found here, as Keras does.

Each check has its bound beside it as a constant. A runtime runs in a process of its own
(`pocketrec.device.engine.probe`).
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pocketrec.device.base.array import Array
from pocketrec.device.base.errors import ExportError
from pocketrec.device.contract import names as contract
from pocketrec.device.engine.runtime import find_runtimes
from pocketrec.device.personal.windows import log_uniform
from pocketrec.export.build import ExportedModel
from pocketrec.export.gate.reference import Personal, Reference
from pocketrec.export.gate.retrieved import check_ranked, check_retrieval, ranked
from pocketrec.export.rankers.ranker import make_ranker
from pocketrec.export.rankers.ranknet import RankNet

#: Largest difference of a score or an embedding from Keras with the same item table.
SCORE_BOUND = 1e-4
#: Largest difference of a score that the item table's bits make, as a share of the user's range of scores, with 8 bits;
#: twice as much for each bit less.
TABLE_BOUND = 0.02
#: The same for all bits, those of the layers' weights too, as a root mean square: errors of recurrent weights add up
#: over the window's steps, and the largest of many is not a steady measure.
BITS_BOUND = 0.02
#: Largest relative difference of a train step's loss from Keras' over `STEPS` steps.
LOSS_BOUND = 1e-4
#: Largest difference of what the train steps changed in a tensor, as a share of that change (Euclidean norms).
CHANGE_BOUND = 1e-3
#: Largest difference of an item embedding from the table's, of the largest entry, where it is in blocks; else none.
ROW_BOUND = 1e-5
#: Train steps of the check.
STEPS = 20
#: Draws of inputs of which one has to agree in training. An activation that turns at 0 (ReLU) has now and then an input
#: so near 0 that Keras and a runtime see it on either side; all later steps then differ by about a hundredth. A wrong
#: gradient is wrong on every draw.
DRAWS = 3

_LEARNING_RATE = 0.01
_PROXIMAL = 0.05
_CONTEXTS = 8
_NEXT = 7_919  # between the seeds of two draws


@dataclass(frozen=True)
class GateReport:
    """What the gate found; kept in the manifest.

    Attributes:
        ops: builtin ops of the file, by name, with their counts.
        runtimes: by runtime that was checked: ``version`` and the differences ``score``, ``table`` and ``bits`` (shares
            of the range), ``loss`` (relative), ``train_loss`` (relative), ``change`` (of trained tensors, relative).
        missing: supported runtimes that do not exist for this Python, with the reason; the file is unchecked there.
    """

    ops: dict[str, int]
    runtimes: dict[str, dict[str, Any]]
    missing: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain tables for JSON."""
        return {"ops": self.ops, "runtimes": self.runtimes, "missing": self.missing}


def check(exported: ExportedModel, model: keras.Model, seed: int) -> GateReport:
    """Run every check.

    Args:
        exported: what `build_tflite` made.
        model: the Keras model that it was made from.
        seed: of the inputs.

    Raises:
        ExportError: a check failed, or a runtime that exists for this Python is not installed.
    """
    ops = builtin_ops(exported.content)
    for draw in range(DRAWS - 1):
        with contextlib.suppress(_TrainingError):
            return GateReport(ops, *_checked(exported, model, seed + _NEXT * draw))
    return GateReport(ops, *_checked(exported, model, seed + _NEXT * (DRAWS - 1)))


class _TrainingError(ExportError):
    """What training changes differs from Keras'."""


def _checked(exported: ExportedModel, model: keras.Model, seed: int) -> tuple[dict[str, Any], dict[str, str]]:
    """Every check with the inputs of this seed: what `GateReport` holds of runtimes and of missing ones."""
    inputs = _inputs(exported, seed)
    expected = _expected(exported, model, inputs)
    found, missing = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / contract.MODEL_FILE
        path.write_bytes(exported.content)
        np.savez(Path(folder) / "inputs.npz", **inputs)
        for runtime in find_runtimes():
            # What the parent process cannot load (TensorFlow imported first) a fresh one may: only presence counts.
            if not runtime.installed and runtime.name in obtainable():
                raise ExportError(f"the model cannot be checked on {runtime.name}: {runtime.problem}")
            if not runtime.installed:
                missing[runtime.name] = runtime.problem
                continue
            version, outputs = _probe(Path(folder), runtime.name)
            found[runtime.name] = {"version": version, **_compare(runtime.name, exported, outputs, expected)}
    return found, missing


def obtainable() -> set[str]:
    """Runtimes that can be installed for this Python and system."""
    tflite = sys.version_info < (3, 12) and sys.platform == "linux"
    return {"ai_edge_litert", "tflite_runtime"} if tflite else {"ai_edge_litert"}


def builtin_ops(content: bytes) -> dict[str, int]:
    """Count the ops of a .tflite file by name.

    Raises:
        ExportError: the file has a Flex or custom op, which no device runtime offers.
    """
    from tensorflow.lite.python import schema_py_generated as schema

    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    model = schema.Model.GetRootAsModel(content, 0)
    codes = []
    for index in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(index)
        if custom := code.CustomCode():
            raise ExportError(
                f"the model needs the op {custom.decode()}, which device runtimes lack: "
                "write that layer with builtin ops"
            )
        codes.append(names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())])
    counts: dict[str, int] = {}
    for subgraph in map(model.Subgraphs, range(model.SubgraphsLength())):
        for place in range(subgraph.OperatorsLength()):
            name = codes[subgraph.Operators(place).OpcodeIndex()]
            counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items()))


def _inputs(exported: ExportedModel, seed: int) -> dict[str, Array]:
    """Histories of every length, rows over the whole catalogue, targets with gaps."""
    facts = exported.model
    rng = np.random.default_rng(seed)
    batch, window, items = facts["batch"], facts["window"], facts["items"]

    def windows(shape: tuple[int, ...]) -> Array:
        rows = rng.integers(1, items + 1, (*shape, window), dtype=np.int32)
        lengths = rng.integers(1, window + 1, (*shape, 1))
        return np.where(np.arange(window) < lengths, rows, contract.PADDING).astype(np.int32)

    contexts = windows((_CONTEXTS,))
    contexts[0, 1:] = contract.PADDING  # one event
    contexts[1] = np.maximum(contexts[1], 1)  # a full window
    # Few batches, each seen several times: the loss then moves, so that a wrong gradient shows.
    batches = windows((4, batch))
    if small := facts.get("small_batch", 0):  # half of them are for the small batch
        batches[2:, small:] = contract.PADDING
    targets = np.where(batches > 0, rng.integers(0, items + 1, batches.shape), contract.PADDING).astype(np.int32)
    targets = targets if facts.get("causal", True) else targets[..., :1]
    if positions := facts.get("positions"):  # a step has no room for more
        counted = np.cumsum((targets > 0).reshape(len(targets), -1), axis=1).reshape(targets.shape)
        targets = np.where(counted <= positions, targets, contract.PADDING).astype(np.int32)
    order = np.arange(STEPS) % len(batches)
    return {
        "contexts": contexts,
        "candidates": rng.integers(1, items + 1, facts["candidates"], dtype=np.int32),
        "items": batches[order],
        "targets": targets[order],
        "negatives": np.stack([log_uniform(facts["negatives"], items, seed, step) for step in range(STEPS)]),
        "learning_rate": np.float32(_LEARNING_RATE),
        "proximal": np.float32(_PROXIMAL),
    }


def _expected(exported: ExportedModel, model: keras.Model, inputs: dict[str, Array]) -> dict[str, Array]:
    trainable = [spec["name"] for spec in exported.tensors["trainable"]]
    facts = exported.model
    second = RankNet(exported.transitions) if "rank" in facts else None
    ranker = make_ranker(contract.INNER_PRODUCT if second else exported.ranker)
    personal = Personal(trainable, facts["optimizer"], facts["pruned"])
    trains_second = not set(contract.RANKER_TENSORS).isdisjoint(trainable)
    by = second if second and trains_second else ranker
    exact = Reference(model, exported.item_embeddings, personal, exported.weights, exported.layers, by)
    float_table = Reference(model, _float_table(model), None, exported.weights, exported.layers, ranker)
    keras_own = Reference(model, _float_table(model), ranker=ranker)  # no adapters: an untrained one is none
    negatives = list(inputs["negatives"]) if facts["negatives"] else [None] * STEPS
    items, targets = inputs["items"], inputs["targets"]
    untrained = {
        "embeddings": exact.embed(inputs["contexts"]),
        "item_embeddings": exported.item_embeddings[inputs["candidates"]],
        "scores": exact.score(inputs["contexts"], inputs["candidates"], ranker),
        **ranked(exact, second, inputs, ""),
        "float_table_scores": float_table.score(inputs["contexts"], inputs["candidates"]),
        "float_scores": keras_own.score(inputs["contexts"], inputs["candidates"]),
        "loss": exact.losses(items[0], targets[0], negatives[0]),
        "last_loss": exact.losses(items[-1], targets[-1], negatives[-1]),
    }
    if positions := facts.get("positions"):  # their own losses, in order, and room to spare
        for name, step in (("loss", 0), ("last_loss", -1)):
            own = untrained[name][targets[step] > 0]
            untrained[name] = np.pad(own, (0, positions - len(own)))
    losses = [
        exact.train(items[step], targets[step], _LEARNING_RATE, _PROXIMAL, negatives[step]) for step in range(STEPS)
    ]
    after = {f"after.{name}": value for name, value in exact.values().items()}
    after |= ranked(exact, second, inputs, "_trained")
    return {**untrained, "losses": np.array(losses), **after}


def _float_table(model: keras.Model) -> Array:
    from pocketrec.cloud.backbones import item_embeddings

    table = item_embeddings(model)
    table[contract.PADDING] = 0.0
    return table


def _probe(folder: Path, runtime: str) -> tuple[str, dict[str, Array]]:
    outputs = folder / f"{runtime}.npz"
    command = [sys.executable, "-P", "-m", "pocketrec.device.engine.probe"]
    command += [contract.MODEL_FILE, "inputs.npz", outputs.name, runtime]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise ExportError(f"the model does not run on {runtime}: {reason}: `pocketrec doctor` says what is installed")
    with np.load(outputs) as arrays:
        return done.stdout.strip().splitlines()[-1], dict(arrays)


def _compare(
    runtime: str, exported: ExportedModel, outputs: dict[str, Array], expected: dict[str, Array]
) -> dict[str, float]:
    spread = np.maximum(np.ptp(expected["float_scores"], axis=1, keepdims=True), 1e-6)
    fewest = min(8, exported.model["item_bits"], exported.model["weight_bits"])
    found = {
        "score": max(
            float(np.abs(outputs["scores"] - expected["scores"]).max()),
            float(np.abs(outputs["embeddings"] - expected["embeddings"]).max()),
        ),
        "table": float((np.abs(outputs["scores"] - expected["float_table_scores"]) / spread).max()),
        "bits": float(np.sqrt((((outputs["scores"] - expected["float_scores"]) / spread) ** 2).mean())),
        "loss": max(_relative(outputs[name], expected[name]) for name in ("loss", "last_loss")),
        "train_loss": _relative(outputs["losses"], expected["losses"]),
        "change": max(_change_error(spec["name"], outputs, expected) for spec in exported.tensors["trainable"]),
    }
    for name, bound in (
        ("score", SCORE_BOUND),
        ("table", TABLE_BOUND * 2 ** (8 - min(8, exported.model["item_bits"]))),
        ("bits", BITS_BOUND * 2 ** (8 - fewest)),
        ("loss", LOSS_BOUND),
        ("train_loss", LOSS_BOUND),
        ("change", CHANGE_BOUND),
    ):
        # "not <=" rather than ">": a NaN fails too.
        if not found[name] <= bound:
            raise (_TrainingError if name in ("train_loss", "change") else ExportError)(
                f"on {runtime} the model's {name} differs from Keras' by {found[name]:.2e}, more than {bound:.0e}: "
                "the file was not published; train again, or report this with the run's configuration"
            )
    # In blocks, an embedding is a product, which a runtime rounds in its own way.
    slack = ROW_BOUND * np.abs(expected["item_embeddings"]).max() if "item_blocks" in exported.model else 0.0
    if not np.abs(outputs["item_embeddings"] - expected["item_embeddings"]).max() <= slack:
        raise ExportError(f"on {runtime} item embeddings differ from the table's: report this")
    check_ranked(runtime, outputs, expected, SCORE_BOUND)
    if exported.retrieval:
        check_retrieval(runtime, exported, outputs, SCORE_BOUND)
    if not np.array_equal(outputs["restored"], outputs["embeddings"]):
        raise ExportError(f"on {runtime} training changed a frozen tensor: the file was not published; report this")
    return found


def _change_error(name: str, outputs: dict[str, Array], expected: dict[str, Array]) -> float:
    before, after, reference = outputs[f"before.{name}"], outputs[f"after.{name}"], expected[f"after.{name}"]
    return float(np.linalg.norm(after - reference) / np.linalg.norm(reference - before))


def _relative(value: Array, reference: Array) -> float:
    return float((np.abs(value - reference) / np.maximum(np.abs(reference), 1e-3)).max())
