# SPDX-License-Identifier: Apache-2.0
"""P15: the exporter on backbones whose layers share their tensors: a shared tensor is in the file once, and its
gradients add up, beside frozen ones and under patches."""

from __future__ import annotations

from typing import Any

import pytest
from exported import gated, shaken

from pocketrec.cloud.backbones.sharing import shares
from pocketrec.cloud.config.export import ExportConfig
from pocketrec.cloud.config.mingru import MinGruOptions
from pocketrec.cloud.config.model import ModelConfig
from pocketrec.cloud.config.nextitnet import GrecOptions, NextItNetOptions
from pocketrec.cloud.config.sasrec import SasrecOptions
from pocketrec.export.build import build_tflite

ITEMS = 40
CASES = [
    # One kernel at two dilations. The short suite has layers that share in cloud/backbones, one by one in layers/.
    pytest.param("nextitnet", NextItNetOptions(dilations=[1, 2]), "whole", marks=pytest.mark.long),
    pytest.param("grec", GrecOptions(dilations=[1, 2]), "patch_parallel", marks=pytest.mark.long),
    pytest.param("sasrec", SasrecOptions(feed_forward=2), "partial", marks=pytest.mark.long),
    pytest.param("mingru", MinGruOptions(hidden=8, layers=2, feed_forward=2), "patch", marks=pytest.mark.long),
]


@pytest.mark.parametrize(("backbone", "options", "way"), CASES)
def test_gate_passes_where_layers_share(backbone: str, options: Any, way: str) -> None:
    config = ModelConfig(
        backbone=backbone, embedding=8, window=5, dropout=0.0, share="all", tables={backbone: options}
    )
    model = shaken(config, ITEMS, 0.05)
    export = ExportConfig(batch=3, item_table="float32", weight_bits=32, adapter=2)
    made = build_tflite(model, config, export, way=way, optimizer="adagrad", candidates=5)
    assert shares(made.layers)
    names = [spec["name"] for kind in ("trainable", "frozen") for spec in made.tensors[kind]]
    assert len(set(names)) == len(names)
    gated(made, model)
