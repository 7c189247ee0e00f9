"""The exporter on attention blocks: the gate for the ways, and what a patch leaves alone, byte for byte."""

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
from pocketrec.cloud.config.sasrec import SasrecOptions
from pocketrec.cloud.ways.way import apply
from pocketrec.device.contract.layers import tensors_of
from pocketrec.export.build import ExportedModel, build_tflite
from pocketrec.export.file.convert import convert
from pocketrec.export.gate import gate
from pocketrec.export.graph.graph import GraphModel, GraphShape, PersonalGraph
from pocketrec.export.tables.table import ItemTable

ITEMS = 60
OPTIONS = SasrecOptions(layers=1, feed_forward=2)
CONFIG = ModelConfig(backbone="sasrec", embedding=8, window=5, dropout=0.0, tables={"sasrec": OPTIONS})


def model(config: ModelConfig = CONFIG) -> keras.Model:
    made = build_model(config, ITEMS, 3)
    rng = np.random.default_rng(3)
    for variable in made.weights:
        variable.assign(variable.numpy() + rng.normal(0, 0.2, variable.shape))
    return made


def export(way: str, optimizer: str, config: ModelConfig = CONFIG, **options: Any) -> ExportedModel:
    made = ExportConfig(**{"batch": 3, "item_table": "float32", "weight_bits": 32, **options})
    return build_tflite(model(config), config, made, way=way, optimizer=optimizer, candidates=5)


CASES = [
    pytest.param(2, "partial", "adagrad", {"item_table": "int8", "weight_bits": 8}, marks=pytest.mark.long),
    pytest.param(2, "whole", "adam", {}, marks=pytest.mark.long),
    pytest.param(1, "head", "sgd", {}, marks=pytest.mark.long),
    pytest.param(1, "patch", "adam", {"adapter": 2}, marks=pytest.mark.long),
    pytest.param(1, "patch_parallel", "adagrad", {"adapter": 2, "full_softmax_limit": 10, "negatives": 16},
                 marks=pytest.mark.long),
]  # fmt: skip


@pytest.mark.parametrize(("layers", "way", "optimizer", "options"), CASES)
def test_gate_passes_on_every_runtime(layers: int, way: str, optimizer: str, options: dict[str, Any]) -> None:
    config = CONFIG.with_options("sasrec", layers=layers)
    gated(export(way, optimizer, config, **options), config)


def gated(exported: ExportedModel, config: ModelConfig = CONFIG) -> None:
    """Scores, losses and 20 train steps are those of Keras layers under a tape."""
    report = gate.check(exported, model(config), seed=1)
    for found in report.runtimes.values():
        assert max(found["score"], found["loss"], found["train_loss"]) <= 1e-4
    assert not [name for name in report.ops if "FLEX" in name.upper() or "CUSTOM" in name.upper()]


@pytest.mark.parametrize("form", ["patch", pytest.param("patch_parallel", marks=pytest.mark.long)])
def test_an_untrained_patch_is_the_backbone_and_steps_change_the_patch_alone(tmp_path: Path, form: str) -> None:
    """Bit for bit; and after 20 steps on each runtime adapters and last norm have moved, and the file, which holds all
    else as constants, has the bytes that it had."""
    frozen = export(form, "sgd", adapter=4)
    gated(frozen)
    (tmp_path / "patch.tflite").write_bytes(frozen.content)
    plain, norms = backbone("sasrec").layers(CONFIG), ("last_norm_gamma", "last_norm_beta")  # variables in both files
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
    for name, kernel in frozen.weights.items():  # forward and backward product read one copy of a frozen kernel
        if name.endswith("kernel") and name not in names and kernel.size > 64:
            laid = [np.ascontiguousarray(rows).astype("<f4").tobytes() for rows in (kernel, kernel.T)]
            assert sum(frozen.content.count(rows) for rows in laid) == 1, name


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


def test_what_the_ways_train() -> None:
    layers = backbone("sasrec").layers(CONFIG.with_options("sasrec", layers=2))
    assert [layer.name for layer in layers] == ["positions", "block_1", "block_2", "fc"]

    def trained(way: str) -> set[str]:
        return set(apply(way, layers, ExportConfig()).trained)

    last = {name for name in tensors_of(layers) if name.startswith(("block_2", "last_norm", "fc"))}
    assert trained("partial") == last
    assert trained("head") == {"fc_kernel", "fc_bias"}
    assert trained("whole") == set(tensors_of(layers))
    adapters = {name for name in trained("patch") if name.endswith("down_kernel")}
    parts = [f"block_{place}_{part}" for place in (1, 2) for part in ("attention", "ffn")]
    assert adapters == {f"{part}_adapter_down_kernel" for part in parts}
    assert trained("patch_parallel") == trained("patch")
