"""The exporter on NextItNet: the gate with patches of every form, and what a patch leaves alone, byte for byte."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from pocketrec.cloud.backbones import backbone, build_model
from pocketrec.cloud.config.export import ExportConfig
from pocketrec.cloud.config.model import ModelConfig
from pocketrec.cloud.config.nextitnet import NextItNetOptions
from pocketrec.device.contract.layers import tensors_of
from pocketrec.export.build import ExportedModel, build_tflite
from pocketrec.export.file.convert import convert
from pocketrec.export.gate import gate
from pocketrec.export.graph.graph import GraphModel, GraphShape, PersonalGraph
from pocketrec.export.tables.table import ItemTable

ITEMS = 60
OPTIONS = NextItNetOptions(dilations=[2])  # the first row that the second convolution looks at is beyond the window
CONFIG = ModelConfig(backbone="nextitnet", embedding=8, window=5, dropout=0.0, tables={"nextitnet": OPTIONS})


def model() -> keras.Model:
    made = build_model(CONFIG, ITEMS, 3)
    rng = np.random.default_rng(3)
    for variable in made.weights:
        variable.assign(variable.numpy() + rng.normal(0, 0.05, variable.shape))
    return made


def export(way: str, optimizer: str, **options: Any) -> ExportedModel:
    config = ExportConfig(**{"batch": 3, "item_table": "float32", "weight_bits": 32, **options})
    return build_tflite(model(), CONFIG, config, way=way, optimizer=optimizer, candidates=5)


CASES = [
    pytest.param("patch", "adagrad", {"adapter": 4, "item_table": "int8", "weight_bits": 8}, marks=pytest.mark.long),
    pytest.param("patch_parallel", "adam", {"adapter": 2}, marks=pytest.mark.long),
    pytest.param("patch", "sgd", {"adapter": 2, "full_softmax_limit": 10, "negatives": 16}, marks=pytest.mark.long),
    pytest.param("partial", "sgd", {"weight_bits": 8}, marks=pytest.mark.long),
    pytest.param("head", "adagrad", {}, marks=pytest.mark.long),
    pytest.param("whole", "adagrad", {}, marks=pytest.mark.long),
]


@pytest.mark.parametrize(("way", "optimizer", "options"), CASES)
def test_gate_passes_on_every_runtime(way: str, optimizer: str, options: dict[str, Any]) -> None:
    gated(export(way, optimizer, **options))


def gated(exported: ExportedModel) -> None:
    """Scores, losses and 20 train steps are those of Keras layers under a tape; the first weights put back afterwards
    give the first embeddings, bit for bit."""
    report = gate.check(exported, model(), seed=1)
    for found in report.runtimes.values():
        assert max(found["score"], found["loss"], found["train_loss"]) <= 1e-4
    assert not [name for name in report.ops if "FLEX" in name.upper() or "CUSTOM" in name.upper()]


@pytest.mark.parametrize("form", ["patch", pytest.param("patch_parallel", marks=pytest.mark.long)])
def test_an_untrained_patch_is_the_backbone_and_steps_change_the_patch_alone(tmp_path: Path, form: str) -> None:
    """P4, bit for bit, and P3: after 20 steps on each runtime adapters and second norms have moved, and the file, which
    holds all else as constants, has the bytes that it had."""
    frozen = export(form, "sgd", adapter=4, adapter_activation="gelu", cardinality=2)
    gated(frozen)
    (tmp_path / "patch.tflite").write_bytes(frozen.content)
    plain, norms = backbone("nextitnet").layers(CONFIG), ("norm_1_2_gamma", "norm_1_2_beta")  # variables in both files
    shape = GraphShape(batch=3, window=5, candidates=5)
    weights = {name: frozen.weights[name] for name in tensors_of(plain)}
    graph = PersonalGraph(GraphModel(plain, weights, norms), ItemTable(frozen.item_embeddings, None), "sgd", shape)
    (tmp_path / "plain.tflite").write_bytes(convert(graph))
    before = hashlib.sha256(frozen.content).hexdigest()
    for runtime in ("ai_edge_litert", *(["tflite_runtime"] if sys.version_info < (3, 12) else [])):
        run = subprocess.run([sys.executable, "-c", _STEPS, str(tmp_path), runtime], capture_output=True, text=True,
                             check=False)  # fmt: skip
        assert run.returncode == 0, run.stderr
        assert hashlib.sha256((tmp_path / "patch.tflite").read_bytes()).hexdigest() == before
    names = {entry["name"] for entry in frozen.tensors["trainable"]}
    assert all("_adapter_" in name or name in norms for name in names)
    assert {"conv_1_1_kernel", "norm_1_1_gamma", "fc_kernel"} <= {entry["name"] for entry in frozen.tensors["frozen"]}
    # Forward and backward product read one copy of a kernel, whichever way round it lies; one that the gradient does
    # not pass through is there for the forward product alone.
    kernel = frozen.weights["conv_1_2_kernel"][8:].astype("<f4")  # without the rows for what is beyond the window
    copies = [frozen.content.count(np.ascontiguousarray(rows).tobytes()) for rows in (kernel, kernel.T)]
    assert sorted(copies) == [0, 1]


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
    patched.train(window, np.where(window > 0, 5, 0).astype(np.int32), 0.1)
trained = patched.export_weights()
assert all(np.abs(trained[name] - untrained[name]).max() > 0 for name in untrained), "a tensor has not moved"
assert np.abs(patched.embed(items) - first).max() > 0.001
patched.import_weights(untrained)
np.testing.assert_array_equal(patched.embed(items), first)
"""

