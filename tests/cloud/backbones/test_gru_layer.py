# SPDX-License-Identifier: Apache-2.0
"""Our GRU layer beside Keras and plain numpy, its gradients with cuts, and a start by copying."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from pocketrec.cloud.backbones import (
    build_model,
    item_embeddings,
    logits,
)
from pocketrec.cloud.backbones.gru_layer import gru
from pocketrec.cloud.config.model import GruOptions, ModelConfig


def test_gru_layer_equals_keras_and_plain_numpy() -> None:
    rng = np.random.default_rng(5)
    inputs = rng.normal(size=(6, 3, 4)).astype(np.float32)  # (T, B, D)
    layer = keras.layers.GRU(5, return_sequences=True, reset_after=True, bias_initializer="random_normal")
    expected = np.asarray(layer(inputs.transpose(1, 0, 2))).transpose(1, 0, 2)
    kernel, recurrent, bias = layer.get_weights()
    keep = np.ones((6, 3, 1), np.float32)
    got = gru(tf.constant(inputs), tf.constant(keep), *map(tf.constant, (kernel, recurrent, bias)))
    np.testing.assert_allclose(got, expected, atol=1e-6)

    def sigmoid(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-x))

    state = np.zeros((3, 5))
    for step in inputs:
        x, h = step @ kernel + bias[0], state @ recurrent + bias[1]
        z, r = sigmoid(x[:, :5] + h[:, :5]), sigmoid(x[:, 5:10] + h[:, 5:10])
        state = z * state + (1 - z) * np.tanh(x[:, 10:] + r * h[:, 10:])
    np.testing.assert_allclose(np.asarray(got)[-1], state, atol=1e-5)


def test_gru_layer_gradients_with_cuts_equal_automatic_ones() -> None:
    rng = np.random.default_rng(6)
    shapes = ((5, 3, 4), (4, 15), (5, 15), (2, 15))
    inputs, kernel, recurrent, bias = (tf.constant(rng.normal(size=shape).astype(np.float32)) for shape in shapes)
    keep = tf.constant((rng.random((5, 3, 1)) > 0.4).astype(np.float32))
    weights = tf.constant(rng.normal(size=(5, 3, 5)).astype(np.float32))

    def plain() -> tf.Tensor:
        state, states = tf.zeros((3, 5)), []
        for t in range(5):
            state = state * keep[t]
            x, h = inputs[t] @ kernel + bias[0], state @ recurrent + bias[1]
            z, r = tf.sigmoid(x[:, :5] + h[:, :5]), tf.sigmoid(x[:, 5:10] + h[:, 5:10])
            state = z * state + (1 - z) * tf.tanh(x[:, 10:] + r * h[:, 10:])
            states.append(state)
        return tf.stack(states)

    sources = [inputs, kernel, recurrent, bias]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(sources)
        fast, slow = (
            tf.reduce_sum(gru(inputs, keep, kernel, recurrent, bias) * weights),
            tf.reduce_sum(plain() * weights),
        )
    for a, b in zip(tape.gradient(fast, sources), tape.gradient(slow, sources), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("hidden", [128, 300])
def test_a_start_by_copying_says_what_the_user_had_lately(hidden: int) -> None:
    options = GruOptions(hidden=hidden, layers=1, start="copy")
    config = ModelConfig(embedding=128, window=6, embedding_std=0.35, tables={"gru": options})
    model = build_model(config, 300, seed=3)
    scores = logits(model, np.asarray(model(np.array([[40, 7, 40, 9, 120]], np.int32))))[0, -1]
    best = np.argsort(-scores).tolist()
    assert best[0] == 120, "of 300 items, untrained"
    assert {120, 9, 40} <= set(best[:6])
    assert scores[40] > scores[7], "had later, and twice"
    plain = build_model(config.with_options("gru", start="random"), 300, seed=3)
    np.testing.assert_array_equal(item_embeddings(plain), item_embeddings(model))
