# SPDX-License-Identifier: Apache-2.0
"""A minimal GRU's file on every runtime against Keras layers under a gradient tape, in every way to personalise."""

from __future__ import annotations

import keras
import pytest
from exported import shaken

from pocketrec.cloud.config.export import ExportConfig
from pocketrec.cloud.config.mingru import MinGruOptions
from pocketrec.cloud.config.model import ModelConfig
from pocketrec.device.base.errors import ExportError
from pocketrec.export.build import build_tflite
from pocketrec.export.gate import gate
from pocketrec.export.layers.mingru import MinGru

ITEMS = 60


def config(**options: int) -> ModelConfig:
    return ModelConfig(backbone="mingru", embedding=6, window=2, dropout=0.0, tables={"mingru": MinGruOptions(
        **{"hidden": 8, "layers": 2, **options})})  # fmt: skip


def model(config: ModelConfig) -> keras.Model:
    return shaken(config, ITEMS, 0.2)


LONG = pytest.mark.long
CASES = [  # in the short suite each of its layers is tried by itself: layers/test_layers.py
    pytest.param("partial", "adagrad", {}, {}, marks=LONG),
    pytest.param("patch_parallel", "sgd", {"layers": 1, "feed_forward": 2},
                 {"adapter": 2, "full_softmax_limit": 10, "negatives": 16}, marks=LONG),
    pytest.param("whole", "adam", {"feed_forward": 2}, {"weight_bits": 32, "item_table": "float32"}, marks=LONG),
    pytest.param("patch", "adagrad", {"layers": 1, "feed_forward": 2}, {"adapter": 2}, marks=LONG),
]  # fmt: skip


@pytest.mark.parametrize(("way", "optimizer", "options", "export"), CASES)
def test_gate_passes_on_every_runtime(way: str, optimizer: str, options: dict, export: dict) -> None:
    """Scores, losses and 20 train steps, windows of one event and full ones; frozen tensors stay bit-identical."""
    shape = config(**options)
    keras_model = model(shape)
    exported = build_tflite(keras_model, shape, ExportConfig(batch=3, **export), way=way, optimizer=optimizer,
                            candidates=5)  # fmt: skip
    report = gate.check(exported, keras_model, seed=1)
    assert report.runtimes
    for found in report.runtimes.values():
        assert max(found["score"], found["loss"], found["train_loss"]) <= 1e-4
        assert found["change"] <= 1e-4
    first = {"partial": "norm_2_gamma", "head": "fc_kernel", "whole": "norm_1_gamma"}
    assert exported.tensors["trainable"][0]["name"] == first.get(way, "out_1_adapter_down_kernel")
    assert exported.model["flop"]["train"] > exported.model["flop"]["embed"] > 0


@LONG
def test_gate_refuses_a_wrong_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    right = MinGru._at_the_end

    def wrong(self: MinGru, *args: object) -> dict:
        gradients = right(self, *args)  # type: ignore[arg-type]
        return {name: value * 1.01 if name.endswith("gamma") else value for name, value in gradients.items()}

    monkeypatch.setattr(MinGru, "_at_the_end", wrong)
    monkeypatch.setattr(gate, "DRAWS", 1)  # a wrong gradient is wrong on each
    shape = config()
    keras_model = model(shape)
    exported = build_tflite(keras_model, shape, ExportConfig(batch=3), way="partial", optimizer="sgd", candidates=5)
    with pytest.raises(ExportError, match="change differs"):
        gate.check(exported, keras_model, seed=1)
