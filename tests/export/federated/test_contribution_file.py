# SPDX-License-Identifier: Apache-2.0
"""The contribution file: on every runtime its gradients are a gradient tape's, for every backbone."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from exported import shaken

from pocketrec.cloud.backbones import ITEM_EMBEDDING, item_embeddings
from pocketrec.cloud.config.export import ExportConfig
from pocketrec.cloud.config.model import ModelConfig
from pocketrec.cloud.config.nextitnet import GrecOptions
from pocketrec.cloud.config.sasrec import SasrecOptions
from pocketrec.device.base.errors import ConfigError, ExportError
from pocketrec.device.contract.packed import decode
from pocketrec.export.federated.broadcast import round_weights
from pocketrec.export.federated.build import ALL, NET, ContributionFile, build_contribution, set_weights
from pocketrec.export.federated.check import BOUND, check_contribution
from pocketrec.export.federated.graph import VariableTable

ITEMS = 40
GRU = ModelConfig(embedding=8, window=5, dropout=0.0).with_options("gru", hidden=6, hidden_dropout=0.0)
SASREC = ModelConfig(backbone="sasrec", embedding=8, window=5, dropout=0.0,
                     tables={"sasrec": SasrecOptions(layers=1, feed_forward=2)})  # fmt: skip
GREC = ModelConfig(backbone="grec", embedding=8, window=5, dropout=0.0, tables={"grec": GrecOptions(dilations=[1, 2])})
OTHERS = [ModelConfig(backbone=name, embedding=8, window=5, dropout=0.0) for name in ("mingru", "nextitnet", "towers")]


def model(config: ModelConfig = GRU) -> keras.Model:
    return shaken(config, ITEMS, 0.1)


@pytest.fixture(scope="module")
def plain() -> ContributionFile:
    """Of `GRU`, with its item table."""
    return built()


def built(config: ModelConfig = GRU, tensors: str = ALL, **options: Any) -> ContributionFile:
    export = ExportConfig(**{"batch": 3, **options})
    return build_contribution(model(config), config, export, tensors=tensors, table_limit=1000)


def checked(file: ContributionFile, config: ModelConfig = GRU) -> dict[str, Any]:
    found = check_contribution(file, model(config), seed=2)
    assert found["runtimes"]
    assert all(entry["difference"] <= BOUND == 1e-4 for entry in found["runtimes"].values())
    assert not [name for name in found["ops"] if "FLEX" in name or "CUSTOM" in name]
    return found


def test_gradients_of_layers_and_item_table_are_a_tapes_on_every_runtime(plain: ContributionFile) -> None:
    """Items stand several times in a window and among the targets: SCATTER_ND adds them up on both runtimes."""
    found = checked(plain)
    assert found["ops"]["SCATTER_ND"] == 1


@pytest.mark.long
@pytest.mark.parametrize("config", [SASREC, GREC, *OTHERS], ids=lambda config: config.backbone)
def test_gradients_of_every_backbone(config: ModelConfig) -> None:
    checked(built(config), config)


@pytest.mark.long
@pytest.mark.parametrize("sampled", [False, True])
def test_gradients_of_the_layers_alone(sampled: bool) -> None:
    file = built(tensors=NET, **({"full_softmax_limit": 10, "negatives": 16} if sampled else {}))
    assert ITEM_EMBEDDING not in file.weights
    assert file.facts["negatives"] == (16 if sampled else 0)
    checked(file)


def test_an_op_that_keeps_one_of_several_sums_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def kept(self: VariableTable, rows: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        first = values * tf.cast(tf.range(values.shape[0]) % 7 > 0, tf.float32)[:, None]
        return tf.scatter_nd(tf.maximum(rows - 1, 0)[:, None], first, [self.items, self.size])

    monkeypatch.setattr(VariableTable, "scattered", kept)
    with pytest.raises(ExportError, match="gradient's item_embedding differs from Keras'"):
        check_contribution(built(), model(), seed=2)


def test_the_file_holds_no_weights(plain: ContributionFile) -> None:
    again = build_contribution(shaken(GRU, ITEMS, 0.5, seed=9), GRU, ExportConfig(batch=3), tensors=ALL,
                               table_limit=1000)  # fmt: skip
    file = plain
    assert file.content == again.content
    assert file.facts["values"] == sum(value.size for value in file.weights.values())


def test_weights_go_back_into_the_model_and_padding_stays_empty(plain: ContributionFile) -> None:
    file, target = plain, model()
    changed = {name: value + 1 for name, value in file.weights.items()}
    set_weights(target, changed)
    np.testing.assert_array_equal(item_embeddings(target)[1:], changed[ITEM_EMBEDDING])
    np.testing.assert_array_equal(item_embeddings(target)[0], 0)
    named = {f"{layer.name}_{v.name}": v.numpy() for layer in target.layers for v in layer.weights}
    for name in changed.keys() - {ITEM_EMBEDDING}:
        np.testing.assert_array_equal(named[name], changed[name])


def test_round_weights_are_what_a_bundle_would_hold_in_a_byte_a_value(plain: ContributionFile) -> None:
    file = plain
    content = round_weights(file.weights, 8)
    back = {name: tensor.values for name, tensor in decode(content).items()}
    assert back.keys() == file.weights.keys()
    for name, value in file.weights.items():
        assert np.abs(back[name] - value).max() <= 0.01 * max(1e-6, np.abs(value).max())
    exact = {name: tensor.values for name, tensor in decode(round_weights(file.weights, 32)).items()}
    for name, value in file.weights.items():
        np.testing.assert_array_equal(exact[name], value)


@pytest.mark.parametrize(
    ("changes", "options", "words"),
    [
        ({"item_blocks": [[0.5, 8], [0.5, 4]]}, {}, "in blocks"),
        ({"tied": False}, {}, "an item table of their own"),
        ({}, {"table_limit": ITEMS - 1}, "more than federate.table_limit = 39"),
        ({}, {"ranker": "other"}, "the ranker is other"),
    ],
)
def test_a_table_that_devices_cannot_improve_is_told(
    changes: dict[str, Any], options: dict[str, Any], words: str
) -> None:
    config = dataclasses.replace(GRU, **changes)
    with pytest.raises(ConfigError, match=words):
        build_contribution(model(config), config, ExportConfig(batch=3), tensors=ALL,
                           **{"table_limit": 1000, **options})  # fmt: skip
