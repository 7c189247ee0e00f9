# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np
import pytest
import tensorflow as tf

from pocketrec.cloud.backbones import (
    BACKBONES,
    FC,
    ITEM_EMBEDDING,
    backbone,
    build_model,
    input_embeddings,
    input_table,
    is_tied,
    item_embeddings,
    item_table,
    load_model,
    logits,
    output_table,
    save_model,
)
from pocketrec.cloud.config.layers import check_layers
from pocketrec.cloud.config.mingru import MinGruOptions
from pocketrec.cloud.config.model import GruOptions, ModelConfig
from pocketrec.cloud.config.nextitnet import GrecOptions, NextItNetOptions
from pocketrec.cloud.config.sasrec import SasrecOptions
from pocketrec.cloud.config.towers import TowersOptions
from pocketrec.cloud.config.training import MASKED
from pocketrec.device.base.errors import ConfigError, DataError
from pocketrec.device.contract.layers import HEAD, tensors_of, walk

ITEMS = 12
SEED = tf.constant([1, 2], tf.int32)


_MODELS: dict[tuple[str, str], keras.Model] = {}


class BackboneContract:
    """What holds for every backbone; a subclass names one."""

    name: str

    small: Any = None
    """Its options, of a small model with all that it may have; None where it has none."""

    three: ClassVar[dict[str, Any] | None] = None
    """Changes of these that give three layers of equal shapes; None where no layers share tensors."""

    @property
    def carries(self) -> bool:
        """Whether it carries a state on from step to step, for session-parallel batches."""
        return getattr(BACKBONES[self.name], "carries", True)

    def in_training(self, model: keras.Model, config: ModelConfig, items: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """What the fast way says of rows of one window each, without padding: equal to the model where dropout is 0."""
        keep = tf.concat([tf.zeros([len(items), 1]), tf.ones([len(items), items.shape[1] - 1])], 1)
        return backbone(self.name).train_embeddings(model, config, items, keep, seed)[0]

    def config(self, **changes: Any) -> ModelConfig:
        sizes = {"embedding": 5, "window": 8, "dropout": 0.0, **changes}
        tables = {} if self.small is None else {self.name: self.small}
        config = ModelConfig(backbone=self.name, **{"tables": tables, **sizes})
        return backbone(self.name).resolved(config, sessions=self.carries)

    def model(self, **changes: Any) -> keras.Model:
        """A model that no test changes: one for all of a class that want the same."""
        made = _MODELS.get(key := (self.name, repr(changes)))
        if made is None:
            made = _MODELS[key] = build_model(self.config(**changes), ITEMS, seed=3)
        return made

    def test_maps_items_to_user_embeddings(self) -> None:
        items = np.array([[1, 2, 3, 0], [4, 0, 0, 0]], np.int32)
        model = self.model()
        out = np.asarray(model(items))
        assert out.shape == (2, 4, 5)
        assert out.dtype == np.float32
        assert model.get_layer(ITEM_EMBEDDING).embeddings.shape == (ITEMS + 1, 5)
        assert model.get_layer(FC).kernel.shape[-1] == 5

    def test_its_layers_name_every_weight_and_the_exporter_knows_them(self) -> None:
        model, layers = self.model(), backbone(self.name).layers(self.config())
        check_layers(layers, self.name)
        shapes = {f"{layer.name}_{v.name}": tuple(v.shape) for layer in model.layers for v in layer.weights}
        del shapes[f"{ITEM_EMBEDDING}_embeddings"]
        assert {name: tensor.shape for name, tensor in tensors_of(layers).items()} == shapes
        assert [layer.role for layer in layers][-1] == HEAD
        assert layers[0].inputs == layers[-1].outputs == 5
        for below, above in itertools.pairwise(layers):
            assert below.outputs == above.inputs

    def test_equal_seeds_give_equal_weights_whatever_the_global_state(self) -> None:
        keras.utils.set_random_seed(1)
        one = build_model(self.config(), ITEMS, seed=3).get_weights()
        keras.utils.set_random_seed(2)
        two, other = (build_model(self.config(), ITEMS, seed=seed).get_weights() for seed in (3, 4))
        assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
        assert any(not np.array_equal(a, b) for a, b in zip(one, other, strict=True))

    def test_sees_nothing_later(self) -> None:
        model = self.model()
        items = np.arange(1, 9, dtype=np.int32)[None]
        changed = items.copy()
        changed[0, 5] = 12
        before, after = np.asarray(model(items)), np.asarray(model(changed))
        np.testing.assert_array_equal(before[:, :5], after[:, :5])
        assert not np.allclose(before[:, 5], after[:, 5])

    def test_padding_repeats_the_last_embedding(self) -> None:
        model = self.model()
        out = np.asarray(model(np.array([[3, 1, 0, 0]], np.int32)))
        short = np.asarray(model(np.array([[3, 1]], np.int32)))
        np.testing.assert_allclose(out[:, :2], short, atol=1e-6)
        np.testing.assert_allclose(out[:, 2:], np.repeat(out[:, 1:2], 2, 1), atol=1e-6)

    def test_packed_rows_equal_the_model_on_each_window(self) -> None:
        model, config = self.model(), self.config()
        packed = np.array([[1, 2, 3, 4, 5, 6, 7, 0], [8, 9, 1, 1, 2, 0, 0, 0]], np.int32)
        keep = np.ones((2, 8), np.float32)
        for row, column in ((0, 0), (0, 3), (0, 6), (1, 0), (1, 2)):
            keep[row, column] = 0
        out, _ = backbone(self.name).train_embeddings(model, config, tf.constant(packed), tf.constant(keep), SEED)
        for row, begin, end in ((0, 0, 3), (0, 3, 6), (0, 6, 7), (1, 0, 2), (1, 2, 5)):
            alone = np.asarray(model(packed[row : row + 1, begin:end]))
            np.testing.assert_allclose(np.asarray(out)[row, begin:end], alone[0], atol=2e-6, rtol=1e-5)

    def test_gradients_equal_those_of_the_keras_model(self) -> None:
        model, config = self.model(), self.config()
        items = tf.constant([[1, 2, 3, 4], [5, 6, 7, 7]], tf.int32)
        weights = tf.constant(np.random.default_rng(0).normal(size=(2, 4, 5)).astype(np.float32))
        variables = [variable.value for variable in model.trainable_variables]
        with tf.GradientTape() as tape:
            fast = tf.reduce_sum(self.in_training(model, config, items, SEED) * weights)
        fast_gradients = tape.gradient(fast, variables)
        with tf.GradientTape() as tape:
            slow = tf.reduce_sum(model(items, training=True) * weights)
        for a, b in zip(fast_gradients, tape.gradient(slow, variables), strict=True):
            np.testing.assert_allclose(tf.convert_to_tensor(a), tf.convert_to_tensor(b), atol=2e-5, rtol=1e-4)

    def test_dropout_follows_from_the_seed(self) -> None:
        config, items = self.config(dropout=0.5), tf.constant([[1, 2, 3]])
        model = build_model(config, ITEMS, 3)
        one = self.in_training(model, config, items, SEED)
        np.testing.assert_array_equal(one, self.in_training(model, config, items, SEED))
        assert not np.allclose(one, self.in_training(model, config, items, SEED + 1))

    def test_state_goes_on_from_call_to_call(self) -> None:
        """D7: a session in one call, and the same in three with the state handed on, beside one that starts later."""
        if not self.carries:
            with pytest.raises(ConfigError, match=r'train\.batching = "sessions"'):
                backbone(self.name).resolved(self.config(), sessions=True)
            return
        model, config, run = self.model(), self.config(), backbone(self.name).train_embeddings
        items, keep = tf.constant([[1, 2, 3, 4, 5, 6], [7, 8, 9, 1, 2, 3]]), np.ones((2, 6), np.float32)
        keep[0, 0] = keep[1, 0] = keep[1, 3] = 0
        whole, _ = run(model, config, items, tf.constant(keep), SEED)
        state, parts = tf.zeros(backbone(self.name).state_shape(config, 2)), []
        for begin in (0, 2, 4):
            part, state = run(model, config, items[:, begin : begin + 2], keep[:, begin : begin + 2], SEED, state)
            parts.append(part)
        np.testing.assert_allclose(tf.concat(parts, 1), whole, atol=2e-6, rtol=1e-5)

    def test_two_tables_where_untied(self, tmp_path: Path) -> None:
        tied, config = self.model(), dataclasses.replace(self.config(), tied=False)
        model = build_model(config, ITEMS, seed=3)
        assert is_tied(tied)
        assert not is_tied(model)
        assert output_table(tied) is input_table(tied)
        assert output_table(model).shape == input_table(model).shape == (ITEMS + 1, 5)
        assert not np.allclose(output_table(model)[1:], input_table(model)[1:])
        assert not output_table(model)[0].numpy().any()
        assert not input_table(model)[0].numpy().any()
        items = np.array([[3, 1, 0, 0]], np.int32)
        np.testing.assert_array_equal(model(items), tied(items))  # the second table is for scores alone
        np.testing.assert_array_equal(item_embeddings(model), output_table(model))
        np.testing.assert_array_equal(input_embeddings(model), input_table(model))
        save_model(model, tmp_path / "model.keras")
        again = load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(output_table(again), output_table(model))
        np.testing.assert_array_equal(again(items), model(items))

    def test_items_in_blocks(self) -> None:
        """P15: the fast way equals the model, and only the rows of its items have a gradient."""
        blocks = [[0.25, 5], [0.75, 2]]
        model, config = self.model(item_blocks=blocks), self.config(item_blocks=blocks)
        items = tf.constant([[1, 2, 9, 9]])
        with tf.GradientTape() as tape:
            out = self.in_training(model, config, items, SEED)
        np.testing.assert_allclose(out, model(items), atol=1e-6)
        gradients = tape.gradient(out, item_table(model).tables)
        rows = [[row for row in gradient.indices.numpy() if row or place] for place, gradient in enumerate(gradients)]
        assert rows == [[1, 2], [5, 5]]  # and of padding, which is row 0 of the first block

    @pytest.mark.parametrize("share", [pytest.param("adjacent", marks=pytest.mark.long), "all"])
    def test_layers_that_share_are_equal_layers(self, share: str, tmp_path: Path) -> None:
        """P15: a model of three layers of which some share is one with equal layers, gradients of the fast way too."""
        if self.three is None:
            with pytest.raises(ConfigError, match="has no two layers that could share"):
                self.model(share=share)
            return
        tables = {self.name: dataclasses.replace(self.small, **self.three)}
        made, plain = self.config(tables=tables, share=share), self.config(tables=tables)
        model, apart = (build_model(config, ITEMS, seed=3) for config in (made, plain))
        for variable in model.trainable_variables:
            variable.assign(variable.numpy() + np.random.default_rng(1).normal(0, 0.1, variable.shape))
        layers, others = (list(walk(backbone(self.name).layers(config))) for config in (made, plain))
        assert [layer.name for layer in layers] == [layer.name for layer in others]
        assert len(tensors_of(layers)) < len(tensors_of(others))
        ours, theirs = ({f"{layer.name}_{v.name}": v for layer in m.layers for v in layer.weights}
                        for m in (model, apart))  # fmt: skip
        for layer, other in zip(layers, others, strict=True):
            for tensor, wanted in zip(layer.tensors, other.tensors, strict=True):
                theirs[wanted.name].assign(ours[tensor.name])
        theirs[f"{ITEM_EMBEDDING}_embeddings"].assign(ours[f"{ITEM_EMBEDDING}_embeddings"])
        items = np.array([[1, 2, 3, 0, 0], [4, 5, 0, 0, 0]], np.int32)
        np.testing.assert_allclose(model(items), apart(items), atol=1e-6)
        save_model(model, tmp_path / "model.keras")
        np.testing.assert_array_equal(load_model(tmp_path / "model.keras")(items), model(items))
        rows = tf.constant([[1, 2, 3, 4], [5, 6, 7, 7]], tf.int32)
        variables = [variable.value for variable in model.trainable_variables]
        with tf.GradientTape(persistent=True) as tape:
            fast, slow = self.in_training(model, made, rows, SEED), model(rows, training=True)
            weighed = [tf.reduce_sum(out * tf.reshape(tf.range(40.0), [2, 4, 5]) / 40) for out in (fast, slow)]
        np.testing.assert_allclose(fast, slow, atol=1e-5)
        for a, b in zip(*(tape.gradient(out, variables) for out in weighed), strict=True):
            np.testing.assert_allclose(tf.convert_to_tensor(a), tf.convert_to_tensor(b), atol=5e-5, rtol=1e-3)

    def test_saved_and_loaded_it_is_the_same(self, tmp_path: Path) -> None:
        model = self.model(dropout=0.5)
        save_model(model, tmp_path / "new" / "model.keras")
        again = load_model(tmp_path / "new" / "model.keras")
        items = np.array([[3, 1, 0, 0]], np.int32)
        np.testing.assert_array_equal(model(items), again(items))
        assert again.get_layer(ITEM_EMBEDDING) is not None
        assert [path.name for path in (tmp_path / "new").iterdir()] == ["model.keras"]

    def test_logits_leave_padding_out(self) -> None:
        model = self.model()
        embeddings = np.asarray(model(np.array([[3, 1]], np.int32)))
        scores = logits(model, embeddings)
        assert scores.shape == (1, 2, ITEMS + 1)
        assert np.isneginf(scores[..., 0]).all()
        np.testing.assert_allclose(scores[0, 1, 4], embeddings[0, 1] @ item_embeddings(model)[4], rtol=1e-5)


class TestGru(BackboneContract):
    name = "gru"
    small = GruOptions(hidden=7, layers=2)
    three: ClassVar[dict[str, Any] | None] = {"hidden": 5, "layers": 3}

    def test_dropout_between_layers_follows_from_the_seed(self) -> None:
        config = self.config().with_options("gru", hidden_dropout=0.3)
        model = build_model(config, ITEMS, 3)
        items, keep = tf.constant([[1, 2, 3]]), tf.constant([[0.0, 1, 1]])
        run = backbone(self.name).train_embeddings
        one, _ = run(model, config, items, keep, SEED)
        np.testing.assert_array_equal(one, run(model, config, items, keep, SEED)[0])
        assert not np.allclose(one, run(model, config, items, keep, SEED + 1)[0])

    def test_layer_names_are_those_of_the_contract(self) -> None:
        names = {layer.name for layer in self.model(tables={"gru": GruOptions(hidden=7, layers=3)}).layers}
        assert {"item_embedding", "gru_1", "gru_2", "gru_3", "fc"} <= names

    def test_state_is_reset_once_a_session_and_never_within_one(self) -> None:
        """D7: a session of eight, and the same eight as two sessions of four."""
        model, config = self.model(), self.config()
        items = tf.constant([[1, 2, 3, 4, 1, 2, 3, 4]])
        run = backbone("gru").train_embeddings
        cut = np.asarray(run(model, config, items, tf.constant([[0.0, 1, 1, 1, 0, 1, 1, 1]]), SEED)[0])
        whole = np.asarray(run(model, config, items, tf.constant([[0.0, 1, 1, 1, 1, 1, 1, 1]]), SEED)[0])
        np.testing.assert_allclose(cut[:, :4], cut[:, 4:], atol=1e-6)
        assert not np.allclose(whole[:, :4], whole[:, 4:])


class TestMinGru(BackboneContract):
    name = "mingru"
    small = MinGruOptions(hidden=7, layers=2, feed_forward=2)
    three: ClassVar[dict[str, Any] | None] = {"layers": 3}


class TestNextItNet(BackboneContract):
    name = "nextitnet"
    small = NextItNetOptions(dilations=[1, 2])
    three: ClassVar[dict[str, Any] | None] = {"dilations": [1, 2, 1]}


class TestGrec(BackboneContract):
    """It sees both sides: a row has one embedding, and in training a mask stands in place of what is to be said."""

    name = "grec"
    small = GrecOptions(dilations=[1, 2])
    three: ClassVar[dict[str, Any] | None] = {"dilations": [1, 2, 1]}

    def in_training(self, model: keras.Model, config: ModelConfig, items: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        masked = tf.concat([items, tf.fill([len(items), 1], MASKED)], 1)
        return tf.repeat(super().in_training(model, config, masked, seed)[:, -1:], items.shape[1], 1)

    def test_sees_nothing_later(self) -> None:
        """Instead: all that stands in a row is seen, from every position."""
        model, items = self.model(), np.arange(1, 9, dtype=np.int32)[None]
        before = np.asarray(model(items))
        for place in range(8):
            changed = items.copy()
            changed[0, place] = 12
            assert (np.abs(before - np.asarray(model(changed))).max(-1) > 0).all()

    def test_padding_repeats_the_last_embedding(self) -> None:
        model = self.model()
        out = np.asarray(model(np.array([[3, 1, 0, 0], [0, 0, 0, 0]], np.int32)))
        np.testing.assert_array_equal(out, np.repeat(out[:, :1], 4, 1))
        np.testing.assert_allclose(out[:1, :2], np.asarray(model(np.array([[3, 1]], np.int32))), atol=1e-6)

    def test_packed_rows_equal_the_model_on_each_window(self) -> None:
        """Each with its mask behind it; neither padding nor another window is seen."""
        model, config = self.model(), self.config()
        rows = np.array([[1, 2, MASKED, 3, MASKED, 4, 5, 6], [7, 8, 9, 1, 1, MASKED, 0, 0]], np.int32)
        keep = np.ones((2, 8), np.float32)
        for row, column in ((0, 0), (0, 3), (0, 5), (1, 0)):
            keep[row, column] = 0
        out = backbone(self.name).train_embeddings(model, config, tf.constant(rows), tf.constant(keep), SEED)[0]
        for row, begin, end in ((0, 0, 2), (0, 3, 4), (1, 0, 5)):
            alone = np.asarray(model(rows[row : row + 1, begin:end]))[0, 0]
            np.testing.assert_allclose(np.asarray(out)[row, end], alone, atol=2e-6, rtol=1e-5)


def test_every_backbone_has_a_contract_test() -> None:
    assert {cls.name for cls in BackboneContract.__subclasses__()} == set(BACKBONES)


def test_unknown_backbone() -> None:
    with pytest.raises(ConfigError, match=r"model\.backbone 'oracle' is not known: it is one of gru"):
        backbone("oracle")


@pytest.mark.parametrize("content", [None, b"not a model"])
def test_a_model_that_cannot_be_loaded(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "model.keras"
    if content:
        path.write_bytes(content)
    with pytest.raises(DataError, match="run `pocketrec train` again"):
        load_model(path)


class TestSasrec(BackboneContract):
    name = "sasrec"
    small = SasrecOptions(heads=5, layers=2, feed_forward=2, block_dropout=0.0)
    three: ClassVar[dict[str, Any] | None] = {"layers": 3}


class TestTowers(BackboneContract):
    name = "towers"
    small = TowersOptions(hidden=7)

    def test_the_order_within_a_window_does_not_matter(self) -> None:
        model = self.model()
        one, two = (np.asarray(model(np.array([row], np.int32)))[0, -1] for row in ([1, 5, 9, 2], [9, 1, 5, 2]))
        np.testing.assert_allclose(one, two, atol=1e-6)
