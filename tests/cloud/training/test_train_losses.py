# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from pocketrec.cloud.config.training import BprMaxOptions
from pocketrec.cloud.rankers.inner_product_training import InnerProductTraining
from pocketrec.cloud.training.losses import NegativeLoss, bpr, bpr_max, cross_entropy, full_softmax, top1

RANKER = InnerProductTraining()


def case(seed: int = 0) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    rng = np.random.default_rng(seed)
    embeddings = tf.constant(rng.normal(size=(6, 4)).astype(np.float32))
    table = tf.constant(rng.normal(size=(8, 4)).astype(np.float32))
    return embeddings, tf.constant([3, 0, 7, 1, 3, 0]), table


def by_definition(embeddings: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor, table: tf.Tensor) -> tf.Tensor:
    scores = tf.matmul(embeddings, table[1:], transpose_b=True)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.maximum(targets - 1, 0), scores)
    return tf.reduce_sum(losses * weights)


def test_full_softmax_by_hand() -> None:
    table = tf.constant([[9.0], [1.0], [2.0]])  # row 0 would win if it took part
    loss = full_softmax(RANKER, tf.constant([[1.0], [0.5]]), tf.constant([2, 0]), tf.constant([0.25, 0]), table)
    assert float(loss) == pytest.approx((np.log(np.exp(1) + np.exp(2)) - 2) / 4, rel=1e-6)


@pytest.mark.parametrize("scale", [1.0, 60.0])
def test_full_softmax_and_its_gradients_equal_the_definition(scale: float) -> None:
    embeddings, targets, table = case()
    weights = tf.constant([0.3, 0, 0.5, 0.1, 0.2, 0])
    embeddings *= scale
    table = tf.concat([tf.zeros_like(table[:1]), table[1:]], 0)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([embeddings, table])
        fast = 3 * full_softmax(RANKER, embeddings, targets, weights, table)
        slow = 3 * by_definition(embeddings, targets, weights, table)
    assert float(fast) == pytest.approx(float(slow), rel=1e-5)
    for source in (embeddings, table):
        np.testing.assert_allclose(tape.gradient(fast, source), tape.gradient(slow, source), atol=1e-5 * scale)


def sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))


# One position whose target scores 1; of the negatives' scores 0, 2 and 5 the last does not count.
BY_HAND = {
    "cross_entropy": (cross_entropy, np.log(np.exp(1) + np.exp(0) + np.exp(2)) - 1),
    "bpr": (bpr, -(np.log(sigmoid(1)) + np.log(sigmoid(-1))) / 2),
    "top1": (top1, (sigmoid(-1) + sigmoid(0) + sigmoid(1) + sigmoid(4)) / 2),
    "bpr_max": (
        bpr_max(BprMaxOptions(0.5)),
        -np.log((sigmoid(1) + np.exp(2) * sigmoid(-1)) / (1 + np.exp(2))) + 0.5 * 4 * np.exp(2) / (1 + np.exp(2)),
    ),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_losses_over_negatives_by_hand(name: str) -> None:
    """D4, with the numbers written out."""
    loss, expected = BY_HAND[name]
    got = loss(tf.constant([1.0]), tf.constant([[0.0, 2.0, 5.0]]), tf.constant([[True, True, False]]))
    assert float(got[0]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss", [cross_entropy, bpr, top1, bpr_max(BprMaxOptions(1.0))])
def test_without_a_negative_there_is_nothing_to_learn(loss: NegativeLoss) -> None:
    positive = tf.constant([1.5])
    with tf.GradientTape() as tape:
        tape.watch(positive)
        value = loss(positive, tf.constant([[3.0, -3.0]]), tf.constant([[False, False]]))
    assert float(value[0]) == 0
    assert float(tape.gradient(value, positive)[0]) == 0


@pytest.mark.parametrize("loss", [cross_entropy, bpr, top1, bpr_max(BprMaxOptions(1.0))])
def test_extreme_scores_stay_finite(loss: NegativeLoss) -> None:
    positive, negatives = tf.constant([-500.0, 500.0]), tf.constant([[500.0, 499.0], [-500.0, -499.0]])
    with tf.GradientTape() as tape:
        tape.watch([positive, negatives])
        value = loss(positive, negatives, tf.fill([2, 2], True))
    for part in (value, *tape.gradient(value, [positive, negatives])):
        assert np.isfinite(part).all()
