# SPDX-License-Identifier: Apache-2.0
"""What tests of exported models share: models whose errors show, and what holds for every patch."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np

from pocketrec.cloud.backbones import backbone, build_model
from pocketrec.cloud.config.model import ModelConfig
from pocketrec.device.contract.layers import tensors_of
from pocketrec.export.build import ExportedModel
from pocketrec.export.file.convert import convert
from pocketrec.export.gate import gate
from pocketrec.export.graph.graph import GraphModel, GraphShape, PersonalGraph
from pocketrec.export.tables.table import ItemTable


def shaken(config: ModelConfig, items: int, noise: float, seed: int = 3) -> keras.Model:
    """A model whose weights are large enough that an error shows, biases included; equal calls, equal models."""
    made = build_model(config, items, seed)
    rng = np.random.default_rng(seed)
    for variable in made.weights:
        variable.assign(variable.numpy() + rng.normal(0, noise, variable.shape))
    return made


def gated(exported: ExportedModel, model: keras.Model) -> None:
    """Scores, losses and 20 train steps are those of Keras layers under a tape; the first weights put back afterwards
    give the first embeddings, bit for bit."""
    report = gate.check(exported, model, seed=1)
    for found in report.runtimes.values():
        assert max(found["score"], found["loss"], found["train_loss"]) <= 1e-4
    assert not [name for name in report.ops if "FLEX" in name.upper() or "CUSTOM" in name.upper()]


def assert_patch_alone_changes(
    folder: Path, frozen: ExportedModel, config: ModelConfig, norms: tuple[str, ...]
) -> None:
    """P4, bit for bit, and P3: an untrained patch is the backbone; after 20 steps on each runtime adapters and norms
    have moved, and the file, which holds all else as constants, has the bytes that it had.

    Args:
        folder: of the files.
        frozen: windows of 5 events, batches of 3, rule sgd, a float32 item table and float32 weights.
        config: of its model.
        norms: names of the tensors that train beside the adapters; variables in the plain file too.
    """
    (folder / "patch.tflite").write_bytes(frozen.content)
    plain = backbone(config.backbone).layers(config)
    shape = GraphShape(batch=3, window=5, candidates=5)
    weights = {name: frozen.weights[name] for name in tensors_of(plain)}
    graph = PersonalGraph(GraphModel(plain, weights, norms, causal=config.causal),
                          ItemTable(frozen.item_embeddings, None), "sgd", shape)  # fmt: skip
    (folder / "plain.tflite").write_bytes(convert(graph))
    before = hashlib.sha256(frozen.content).hexdigest()
    for runtime in ("ai_edge_litert", *(["tflite_runtime"] if sys.version_info < (3, 12) else [])):
        run = subprocess.run([sys.executable, "-c", _STEPS, str(folder), runtime], capture_output=True, text=True,
                             check=False)  # fmt: skip
        assert run.returncode == 0, run.stderr
        assert hashlib.sha256((folder / "patch.tflite").read_bytes()).hexdigest() == before
    names = {entry["name"] for entry in frozen.tensors["trainable"]}
    assert all("_adapter_" in name or name in norms for name in names)


# A runtime cannot share a process with TensorFlow.
_STEPS = """
import sys
import numpy as np
from pocketrec.device.engine.model import Model
patched, plain = (Model(f"{sys.argv[1]}/{name}.tflite", sys.argv[2]) for name in ("patch", "plain"))
items = np.array([[3, 7, 9, 0, 0]], np.int32)
first = patched.embed(items)
np.testing.assert_array_equal(first, plain.embed(items))
untrained = patched.export_weights()
window = np.tile(items, (3, 1))
for _ in range(20):
    patched.train(window, np.where(window > 0, 5, 0).astype(np.int32)[:, : patched.targets], 0.1)
trained = patched.export_weights()
assert all(np.abs(trained[name] - untrained[name]).max() > 0 for name in untrained), "a tensor has not moved"
assert np.abs(patched.embed(items) - first).max() > 0.001
patched.import_weights(untrained)
np.testing.assert_array_equal(patched.embed(items), first)
"""
