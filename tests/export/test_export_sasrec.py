# SPDX-License-Identifier: Apache-2.0
"""The exporter on attention blocks: the gate for the ways, and what a patch leaves alone, byte for byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from exported import assert_patch_alone_changes, gated, shaken

from pocketrec.cloud.backbones import backbone
from pocketrec.cloud.config.export import ExportConfig
from pocketrec.cloud.config.model import ModelConfig
from pocketrec.cloud.config.sasrec import SasrecOptions
from pocketrec.cloud.ways.way import apply
from pocketrec.device.contract.layers import tensors_of
from pocketrec.export.build import ExportedModel, build_tflite

ITEMS = 60
OPTIONS = SasrecOptions(layers=1, feed_forward=2)
CONFIG = ModelConfig(backbone="sasrec", embedding=8, window=5, dropout=0.0, tables={"sasrec": OPTIONS})


def model(config: ModelConfig = CONFIG) -> keras.Model:
    return shaken(config, ITEMS, 0.2)


def export(way: str, optimizer: str, config: ModelConfig = CONFIG, **options: Any) -> ExportedModel:
    made = ExportConfig(**{"batch": 3, "item_table": "float32", "weight_bits": 32, **options})
    return build_tflite(model(config), config, made, way=way, optimizer=optimizer, candidates=5)


# Ways and optimizers in pairs are in test_export.py, patches gated below; `head` trains what every backbone has.
CASES = [
    pytest.param(2, "partial", "adagrad", {"item_table": "int8", "weight_bits": 8}, marks=pytest.mark.long),
    pytest.param(2, "whole", "adam", {}, marks=pytest.mark.long),
    pytest.param(1, "patch_parallel", "adagrad", {"adapter": 2, "full_softmax_limit": 10, "negatives": 16},
                 marks=pytest.mark.long),
]  # fmt: skip


@pytest.mark.parametrize(("layers", "way", "optimizer", "options"), CASES)
def test_gate_passes_on_every_runtime(layers: int, way: str, optimizer: str, options: dict[str, Any]) -> None:
    config = CONFIG.with_options("sasrec", layers=layers)
    gated(export(way, optimizer, config, **options), model(config))


@pytest.mark.parametrize("form", [pytest.param(form, marks=pytest.mark.long) for form in ("patch", "patch_parallel")])
def test_an_untrained_patch_is_the_backbone_and_steps_change_the_patch_alone(tmp_path: Path, form: str) -> None:
    """Bit for bit; and after 20 steps on each runtime adapters and last norm have moved, and the file, which holds all
    else as constants, has the bytes that it had."""
    frozen = export(form, "sgd", adapter=4)
    gated(frozen, model())
    assert_patch_alone_changes(tmp_path, frozen, CONFIG, ("last_norm_gamma", "last_norm_beta"))
    names = {entry["name"] for entry in frozen.tensors["trainable"]}
    for name, kernel in frozen.weights.items():  # forward and backward product read one copy of a frozen kernel
        if name.endswith("kernel") and name not in names and kernel.size > 64:
            laid = [np.ascontiguousarray(rows).astype("<f4").tobytes() for rows in (kernel, kernel.T)]
            assert sum(frozen.content.count(rows) for rows in laid) == 1, name


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
