# SPDX-License-Identifier: Apache-2.0
"""P15: an item table in blocks, and layers that share their tensors, in the exported file."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pocketrec.cloud.backbones import backbone, build_model, input_embeddings, item_table
from pocketrec.cloud.config.export import ExportConfig
from pocketrec.cloud.config.model import GruOptions, ModelConfig
from pocketrec.device.contract import packed
from pocketrec.export.build import build_tflite, graph_table
from pocketrec.export.bundle.card import model_card
from pocketrec.export.gate import gate
from pocketrec.export.tables.blocks import BlockTable
from pocketrec.export.tables.lean import lean_model, lean_table

ITEMS = 60
SHARES = [[0.2, 8], [0.3, 4], [0.5, 2]]


def config(layers: int = 1, hidden: int = 12, window: int = 3, **changes: Any) -> ModelConfig:
    tables = {"gru": GruOptions(hidden=hidden, layers=layers)}
    return ModelConfig(**{"embedding": 8, "window": window, "dropout": 0.0, "tables": tables, **changes})


def model_of(made: ModelConfig, seed: int = 3) -> keras.Model:
    """A model whose weights are large enough that an error shows."""
    model = build_model(made, ITEMS, seed)
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        variable.assign(variable.numpy() + rng.normal(0, 0.2, variable.shape))
    item_table(model).clear_padding()
    return model


def exported(made: ModelConfig, model: keras.Model, way: str = "head", **options: Any) -> Any:
    return build_tflite(model, made, ExportConfig(batch=3, **options), way=way, optimizer="adagrad", candidates=5)


@pytest.mark.parametrize(("kind", "bits", "bound"), [("float32", 8, 1e-6), ("int8", 8, 0.02), ("int8", 5, 0.15)])
def test_gather_and_catalogue_are_the_model_s_embeddings(kind: str, bits: int, bound: float) -> None:
    model = model_of(config(item_blocks=SHARES))
    table = graph_table(model, ExportConfig(item_table=kind, item_bits=bits))
    assert isinstance(table, BlockTable)
    assert (table.items, table.size, table.sizes) == (ITEMS, 8, [12, 18, 30])
    held, own = table.embeddings(), input_embeddings(model)
    assert not held[0].any()
    assert np.abs(held - own).max() <= bound * np.abs(own).max()
    rows = np.array([0, 1, 12, 13, 30, 31, 60, 60], np.int32)
    np.testing.assert_allclose(table.gather(tf.constant(rows)), held[rows], atol=1e-6)
    np.testing.assert_allclose(table.catalogue(tf.constant(0)), held[1:], atol=1e-6)


def test_the_file_in_blocks_equals_keras_on_every_runtime_and_comes_back_from_its_packed_form() -> None:
    made = config(item_blocks=SHARES)
    model = model_of(made)
    file = exported(made, model)
    for found in gate.check(file, model, seed=1).runtimes.values():
        assert max(found["score"], found["loss"], found["train_loss"]) <= 1e-4
    assert packed.fill(file.skeleton, file.coded) == file.content
    assert file.model["item_blocks"] == [[12, 8], [18, 4], [30, 2]]
    names = [spec["name"] for spec in file.tensors["frozen"]]
    assert {"item_embedding_1", "item_embedding_projection_3"} <= set(names)
    plain = graph_table(model_of(config()), ExportConfig())
    assert "item_blocks" not in plain.facts()


CASES = [
    ({"item_blocks": SHARES}, {"way": "partial", "full_softmax_limit": 10, "negatives": 16}),
    ({"item_blocks": SHARES}, {"way": "whole", "item_table": "float32", "weight_bits": 32}),
    ({"item_blocks": [[1.0, 8]]}, {"way": "head", "weight_bits": 4, "item_bits": 5}),
    ({"share": "adjacent", "hidden": 8, "layers": 3, "item_blocks": SHARES}, {"way": "patch", "adapter": 4}),
    ({"share": "all", "hidden": 8, "layers": 2}, {"way": "patch_parallel", "adapter": 4}),
]


@pytest.mark.long
@pytest.mark.parametrize(("shape", "options"), CASES)
def test_gate_passes_on_every_runtime(shape: dict[str, Any], options: dict[str, Any]) -> None:
    made = config(**shape)
    model = model_of(made)
    file = exported(made, model, **options)
    for found in gate.check(file, model, seed=1).runtimes.values():
        assert max(found["score"], found["loss"], found["train_loss"]) <= 1e-4
    assert packed.fill(file.skeleton, file.coded) == file.content


def test_a_lean_model_of_one_in_blocks_has_rows_of_whole_embeddings() -> None:
    """Rows that a candidate shard brings are embeddings, whatever the block of their item."""
    made = config(item_blocks=SHARES)
    model = model_of(made)
    small = lean_model(model, made, lean_table(input_embeddings(model), np.ones(ITEMS + 1), 40), reserved=4)
    items = np.array([[3, 14, 40]], np.int32)
    np.testing.assert_allclose(small(items), model(items), atol=1e-6)
    assert small.get_layer("item_embedding").get_weights()[0].shape == (1 + 40 + 1 + 4, 8)


def test_the_card_tells_the_blocks_and_whose_tensors_a_layer_has() -> None:
    layers = backbone("gru").layers(config(share="all", hidden=8, layers=2))
    model = {"backbone": "gru", **graph_table(model_of(config(item_blocks=SHARES)), ExportConfig()).facts()}
    tensors = {"layers": [layer.to_dict() for layer in layers], "trainable": []}
    card = model_card(
        facts={"model": model, "tensors": tensors, "gate": {"runtimes": {}}}, summary={}, recipe={}, metrics=None,
        config={"data": {"path": "log.csv", "item": "item"}, "split": {"kind": "quantile"}}, size=1,
    )  # fmt: skip
    assert "| item_blocks | [[12, 8], [18, 4], [30, 2]] |" in card
    assert "| gru_1 | gru | 8 | 8 | 432 |" in card
    assert "| gru_2 | gru | 8 | 8 | those of gru_1 |" in card
