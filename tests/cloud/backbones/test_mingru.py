# SPDX-License-Identifier: Apache-2.0
"""The minimal GRU's own parts against a tape and against Keras, and what its copy start says untrained."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf

from pocketrec.cloud.backbones import backbone, build_model, item_embeddings, logits
from pocketrec.cloud.backbones.fused import gelu, layer_norm, thinned
from pocketrec.cloud.backbones.keras_layers import activation
from pocketrec.cloud.backbones.mingru_layer import MinGru, recurrence
from pocketrec.cloud.config.mingru import MinGruOptions
from pocketrec.cloud.config.model import ModelConfig
from pocketrec.device.base.errors import ConfigError

SEED = tf.constant([1, 2], tf.int32)


def assert_same_gradients(fast: Callable[..., tf.Tensor], slow: Callable[..., tf.Tensor], *inputs: tf.Tensor) -> None:
    """Values, and gradients of a weighted sum of them by all inputs."""
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(inputs)
        one, two = fast(*inputs), slow(*inputs)
        weights = tf.constant(np.random.default_rng(7).normal(size=one.shape).astype(np.float32))
        sums = tf.reduce_sum(one * weights), tf.reduce_sum(two * weights)
    np.testing.assert_allclose(one, two, rtol=1e-5, atol=2e-6)
    for a, b in zip(tape.gradient(sums[0], inputs), tape.gradient(sums[1], inputs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5)


def numbers(seed: int, *shape: int) -> tf.Tensor:
    return tf.constant(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def test_the_recurrence_with_cuts_and_a_state_equals_the_tape() -> None:
    keep = tf.constant((np.random.default_rng(1).random((6, 3, 1)) > 0.4).astype(np.float32))
    before = numbers(2, 3, 5)

    def plain(projected: tf.Tensor) -> tf.Tensor:
        state, states = before, []
        for t in range(6):
            z, c = tf.sigmoid(projected[t, :, :5]), tf.tanh(projected[t, :, 5:])
            state = (1 - z) * state * keep[t] + z * c
            states.append(state)
        return tf.stack(states)

    assert_same_gradients(lambda projected: recurrence(projected, keep, before), plain, numbers(3, 6, 3, 10))


def test_normalisation_and_gelu_equal_the_tape() -> None:
    layer = keras.layers.LayerNormalization(epsilon=1e-6)
    layer.build((None, 6))
    layer.set_weights([numbers(4, 6).numpy(), numbers(5, 6).numpy()])
    gamma, beta = layer.gamma.value, layer.beta.value
    assert_same_gradients(lambda x: layer_norm(x, tf.identity(gamma), tf.identity(beta)), layer, numbers(6, 9, 6))

    def plain(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> tf.Tensor:
        mean, variance = tf.nn.moments(x, [1], keepdims=True)
        return (x - mean) / tf.sqrt(variance + 1e-6) * gamma + beta

    assert_same_gradients(layer_norm, plain, numbers(6, 9, 6), numbers(4, 6), numbers(5, 6))
    assert_same_gradients(gelu, lambda x: activation(x, "gelu"), 3.0 * numbers(8, 9, 6))


def test_the_keras_layer_computes_windows_of_unknown_length_too() -> None:
    layer, x = MinGru(4, seed=1), numbers(1, 2, 5, 3)
    known = layer(x)
    unknown = tf.function(layer, input_signature=[tf.TensorSpec([None, None, 3], tf.float32)])
    np.testing.assert_allclose(unknown(x), known, atol=1e-6)


@pytest.mark.parametrize("rate", [0.25, 0.3])
def test_dropout_of_bytes_has_its_share_and_keeps_the_mean(rate: float) -> None:
    x = tf.ones([301, 333])  # not a multiple of four numbers
    y = thinned(x, rate, SEED, 1).numpy()
    level = round(rate * 256) / 256
    assert np.mean(y == 0) == pytest.approx(level, abs=0.005)
    np.testing.assert_allclose(y[y > 0], 1 / (1 - level), rtol=1e-6)
    np.testing.assert_array_equal(y, thinned(x, rate, SEED, 1))
    assert np.mean(y != thinned(x, rate, SEED, 2).numpy()) > rate / 2
    assert thinned(x, 0.0, SEED, 1) is x


def test_dropout_of_blocks_follows_from_the_seed() -> None:
    options = MinGruOptions(hidden=7, layers=2, feed_forward=1, block_dropout=0.4)
    config = ModelConfig(backbone="mingru", embedding=5, window=3, dropout=0.0, tables={"mingru": options})
    model, run = build_model(config, 12, 3), backbone("mingru").train_embeddings
    items, keep = tf.constant([[1, 2, 3]]), tf.constant([[0.0, 1, 1]])
    one, _ = run(model, config, items, keep, SEED)
    np.testing.assert_array_equal(one, run(model, config, items, keep, SEED)[0])
    assert not np.allclose(one, run(model, config, items, keep, SEED + 1)[0])


@pytest.mark.parametrize(
    ("hidden", "layers", "feed_forward", "std"), [(128, 1, 0, 0.0), (256, 1, 0, 0.35), (300, 2, 2, 0.0)]
)
def test_a_start_by_copying_says_what_the_user_had_lately(
    hidden: int, layers: int, feed_forward: int, std: float
) -> None:
    """Of 300 items, untrained: two groups of units or another number, with blocks above that add little."""
    options = MinGruOptions(hidden=hidden, layers=layers, feed_forward=feed_forward, start="copy")
    config = ModelConfig(backbone="mingru", embedding=128, window=6, embedding_std=std, tables={"mingru": options})
    model = build_model(config, 300, seed=3)
    scores = logits(model, np.asarray(model(np.array([[40, 7, 40, 9, 120]], np.int32))))[0, -1]
    best = np.argsort(-scores).tolist()
    assert best[0] == 120
    assert {120, 9, 40} <= set(best[:6])
    assert scores[40] > scores[7], "had later, and twice"
    plain = build_model(config.with_options("mingru", start="random"), 300, seed=3)
    np.testing.assert_array_equal(item_embeddings(plain), item_embeddings(model))


def test_options_out_of_range_are_refused_by_name() -> None:
    for options, message in (
        ({"layers": 0}, "layers must be at least 1"),
        ({"feed_forward": -1}, "feed_forward must be at least 0"),
        ({"block_dropout": 1.0}, "block_dropout must lie in"),
        ({"start": "warm"}, "start 'warm' is not one of random, copy"),
    ):
        with pytest.raises(ConfigError, match=rf"\[model\.mingru\] {message}"):
            MinGruOptions(**options)
