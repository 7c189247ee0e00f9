# SPDX-License-Identifier: Apache-2.0
"""The exporter on GRec's encoder: the gate for every way, and what a patch leaves alone, byte for byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import pytest
from exported import assert_patch_alone_changes, gated, shaken

from pocketrec.cloud.config.export import ExportConfig
from pocketrec.cloud.config.model import ModelConfig
from pocketrec.cloud.config.nextitnet import GrecOptions
from pocketrec.export.build import ExportedModel, build_tflite

ITEMS = 60
OPTIONS = GrecOptions(dilations=[1, 2])
CONFIG = ModelConfig(backbone="grec", embedding=8, window=5, dropout=0.0, tables={"grec": OPTIONS})


def model() -> keras.Model:
    return shaken(CONFIG, ITEMS, 0.05)


def export(way: str, optimizer: str, **options: Any) -> ExportedModel:
    config = ExportConfig(**{"batch": 3, "item_table": "float32", "weight_bits": 32, **options})
    return build_tflite(model(), CONFIG, config, way=way, optimizer=optimizer, candidates=5)


# Ways and optimizers in pairs are in test_export.py; `head` trains what every backbone has.
CASES = [
    pytest.param("patch", "adagrad", {"adapter": 4, "item_table": "int8", "weight_bits": 8}, marks=pytest.mark.long),
    pytest.param("partial", "sgd", {"full_softmax_limit": 10, "negatives": 16}, marks=pytest.mark.long),
    pytest.param("whole", "adagrad", {}, marks=pytest.mark.long),
]


@pytest.mark.parametrize(("way", "optimizer", "options"), CASES)
def test_gate_passes_on_every_runtime(way: str, optimizer: str, options: dict[str, Any]) -> None:
    made = export(way, optimizer, **options)
    gated(made, model())
    assert made.model["causal"] is False
    trained = {spec["name"] for spec in made.tensors["trainable"]}
    assert ("mask_vector" in trained) == (way == "whole")
    assert ("conv_2_1_kernel" in trained) == (way in ("whole", "partial"))


@pytest.mark.parametrize("form", [pytest.param(form, marks=pytest.mark.long) for form in ("patch", "patch_parallel")])
def test_an_untrained_patch_is_the_backbone_and_steps_change_the_patch_alone(tmp_path: Path, form: str) -> None:
    """P4, bit for bit, and P3: after 20 steps on each runtime adapters and second norms have moved, and the file, which
    holds all else as constants, has the bytes that it had."""
    frozen = export(form, "sgd", adapter=4, adapter_activation="gelu", cardinality=2)
    norms = tuple(f"norm_{block}_2_{tensor}" for block in (1, 2) for tensor in ("gamma", "beta"))
    assert_patch_alone_changes(tmp_path, frozen, CONFIG, norms)
    assert {"mask_vector", "conv_1_1_kernel", "fc_kernel"} <= {entry["name"] for entry in frozen.tensors["frozen"]}


def test_work_is_counted_with_one_target_of_a_window() -> None:
    """By hand: each of two blocks has two kernels of 3 x 8 x 8 for each of 5 + 1 steps; the head has one row."""
    flop = export("head", "sgd").model["flop"]
    forward = 6 * 4 * 2 * 3 * 64 + 2 * 64
    assert flop["embed"] == forward
    assert flop["infer"] == forward + 2 * 5 * 8
    assert flop["train"] == 3 * (forward + 2 * 64) + 3 * 4 * 8 * ITEMS
