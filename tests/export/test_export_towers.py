# SPDX-License-Identifier: Apache-2.0
"""The file of backbone `towers` on every runtime against Keras layers under a tape; ItemNet lies in its table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from exported import gated

from pocketrec.cloud.backbones import build_model, item_embeddings
from pocketrec.cloud.backbones.towers import TowersBackbone
from pocketrec.cloud.config.export import ExportConfig
from pocketrec.cloud.config.model import ModelConfig
from pocketrec.cloud.config.towers import TowersOptions
from pocketrec.cloud.data.item_features import FeatureSpace, ItemFeatures
from pocketrec.device.base.errors import ExportError
from pocketrec.device.contract.layers import adapter_spec
from pocketrec.export.build import build_tflite
from pocketrec.export.gate.reference import Personal, Reference

ITEMS = 60
LONG = pytest.mark.long


def features() -> ItemFeatures:
    values = np.random.default_rng(1).integers(0, 5, (ITEMS + 1, 2)).astype(np.int32)
    values[0] = 0
    names = np.array(["a", "b", "c", "d"], object)
    return ItemFeatures(FeatureSpace(names, np.zeros(0, object), np.zeros(0), np.zeros(0)), values,
                        np.zeros((ITEMS + 1, 0), np.float32))  # fmt: skip


@pytest.mark.parametrize(
    ("way", "optimizer", "content"),
    [
        pytest.param("partial", "adagrad", True, marks=LONG),
        pytest.param("head", "sgd", False, marks=LONG),
        pytest.param("patch", "adam", True, marks=LONG),
        pytest.param("whole", "sgd", True, marks=LONG),
    ],
)
def test_gate_passes_on_every_runtime(way: str, optimizer: str, content: bool) -> None:
    config = ModelConfig(backbone="towers", embedding=6, window=5, dropout=0.0, content=content,
                         tables={"towers": TowersOptions(hidden=8)})  # fmt: skip
    model = build_model(config, ITEMS, 3, features())
    rng = np.random.default_rng(3)
    for variable in model.trainable_variables:
        variable.assign(variable.numpy() + rng.normal(0, 0.1, variable.shape))
    options = ExportConfig(batch=3, item_table="float32", adapter=2)
    exported = build_tflite(model, config, options, way=way, optimizer=optimizer, candidates=5)
    np.testing.assert_allclose(exported.item_embeddings[1:], item_embeddings(model)[1:], atol=1e-6)
    gated(exported, model)


def test_a_patch_on_several_keras_layers_is_refused() -> None:
    """The check would put it after the first of them, and the file has it after the last."""
    tables = {"towers": TowersOptions(hidden=8)}
    config = ModelConfig(backbone="towers", embedding=6, window=5, dropout=0.0, tables=tables)
    model = build_model(config, ITEMS, 3)
    profile, user, head = TowersBackbone().layers(config)
    dense, function = user.inner
    plain = replace(user, inner=(replace(dense, patch=""), function))
    layers = (profile, adapter_spec(plain, "serial", 2, 0), head)
    with pytest.raises(ExportError, match="'user_net' has a patch and is several Keras layers \\(user, user_gelu\\)"):
        Reference(model, item_embeddings(model), Personal((), "sgd"), layers=layers)
