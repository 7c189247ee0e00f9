# SPDX-License-Identifier: Apache-2.0
"""The exporter on NextItNet: the gate with patches of every form, and what a patch leaves alone, byte for byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from exported import assert_patch_alone_changes, gated, shaken

from pocketrec.cloud.config.export import ExportConfig
from pocketrec.cloud.config.model import ModelConfig
from pocketrec.cloud.config.nextitnet import NextItNetOptions
from pocketrec.export.build import ExportedModel, build_tflite

ITEMS = 60
OPTIONS = NextItNetOptions(dilations=[2])  # the first row that the second convolution looks at is beyond the window
CONFIG = ModelConfig(backbone="nextitnet", embedding=8, window=5, dropout=0.0, tables={"nextitnet": OPTIONS})


def model() -> keras.Model:
    return shaken(CONFIG, ITEMS, 0.05)


def export(way: str, optimizer: str, **options: Any) -> ExportedModel:
    config = ExportConfig(**{"batch": 3, "item_table": "float32", "weight_bits": 32, **options})
    return build_tflite(model(), CONFIG, config, way=way, optimizer=optimizer, candidates=5)


# Ways and optimizers in pairs are in test_export.py, patches gated below; `head` trains what every backbone has.
CASES = [
    pytest.param("patch", "sgd", {"adapter": 2, "full_softmax_limit": 10, "negatives": 16}, marks=pytest.mark.long),
    pytest.param("partial", "adagrad", {"item_table": "int8", "weight_bits": 8}, marks=pytest.mark.long),
    pytest.param("whole", "adam", {}, marks=pytest.mark.long),
]


@pytest.mark.parametrize(("way", "optimizer", "options"), CASES)
def test_gate_passes_on_every_runtime(way: str, optimizer: str, options: dict[str, Any]) -> None:
    gated(export(way, optimizer, **options), model())


@pytest.mark.parametrize("form", ["patch", pytest.param("patch_parallel", marks=pytest.mark.long)])
def test_an_untrained_patch_is_the_backbone_and_steps_change_the_patch_alone(tmp_path: Path, form: str) -> None:
    """P4, bit for bit, and P3: after 20 steps on each runtime adapters and second norms have moved, and the file, which
    holds all else as constants, has the bytes that it had."""
    frozen = export(form, "sgd", adapter=4, adapter_activation="gelu", cardinality=2)
    gated(frozen, model())
    assert_patch_alone_changes(tmp_path, frozen, CONFIG, ("norm_1_2_gamma", "norm_1_2_beta"))
    assert {"conv_1_1_kernel", "norm_1_1_gamma", "fc_kernel"} <= {entry["name"] for entry in frozen.tensors["frozen"]}
    # Forward and backward product read one copy of a kernel, whichever way round it lies; one that the gradient does
    # not pass through is there for the forward product alone.
    kernel = frozen.weights["conv_1_2_kernel"][8:].astype("<f4")  # without the rows for what is beyond the window
    copies = [frozen.content.count(np.ascontiguousarray(rows).tobytes()) for rows in (kernel, kernel.T)]
    assert sorted(copies) == [0, 1]
