from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from pocketrec.cloud.train_losses import full_softmax, log_expected, log_uniform, sampled_softmax


def case(seed: int = 0) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    rng = np.random.default_rng(seed)
    embeddings = tf.constant(rng.normal(size=(6, 4)).astype(np.float32))
    table = tf.constant(rng.normal(size=(8, 4)).astype(np.float32))
    return embeddings, tf.constant([3, 0, 7, 1, 3, 0]), table


def by_definition(embeddings: tf.Tensor, targets: tf.Tensor, table: tf.Tensor) -> tf.Tensor:
    scores = tf.matmul(embeddings, table[1:], transpose_b=True)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.maximum(targets - 1, 0), scores)
    return tf.reduce_mean(tf.boolean_mask(losses, targets > 0))


def test_full_softmax_by_hand() -> None:
    table = tf.constant([[9.0], [1.0], [2.0]])  # row 0 would win if it took part
    loss = full_softmax(tf.constant([[1.0], [0.5]]), tf.constant([2, 0]), table)
    assert float(loss) == pytest.approx(np.log(np.exp(1) + np.exp(2)) - 2, rel=1e-6)


@pytest.mark.parametrize("scale", [1.0, 60.0])
def test_full_softmax_and_its_gradients_equal_the_definition(scale: float) -> None:
    embeddings, targets, table = case()
    embeddings *= scale
    table = tf.concat([tf.zeros_like(table[:1]), table[1:]], 0)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([embeddings, table])
        fast, slow = 3 * full_softmax(embeddings, targets, table), 3 * by_definition(embeddings, targets, table)
    assert float(fast) == pytest.approx(float(slow), rel=1e-5)
    for source in (embeddings, table):
        np.testing.assert_allclose(tape.gradient(fast, source), tape.gradient(slow, source), atol=1e-5 * scale)


@pytest.mark.parametrize("loss", ["full", "sampled"])
def test_no_target_no_loss(loss: str) -> None:
    embeddings, _, table = case()
    none = tf.zeros(6, tf.int32)
    value = (
        full_softmax(embeddings, none, table)
        if loss == "full"
        else sampled_softmax(embeddings, none, table, tf.constant([1, 2]))
    )
    assert float(value) == 0


def test_sampled_softmax_by_hand() -> None:
    table = tf.constant([[0.0], [1.0], [2.0], [3.0]])
    negatives = tf.constant([1, 2, 1])  # 2 is the target: masked
    loss = float(sampled_softmax(tf.constant([[1.0]]), tf.constant([2]), table, negatives))
    q1, q2 = (3 * np.log((row + 1) / row) / np.log(4) for row in (1, 2))
    positive, negative = 2 - np.log(q2), 1 - np.log(q1)
    assert loss == pytest.approx(np.log(np.exp(positive) + 2 * np.exp(negative)) - positive, rel=1e-5)


def test_many_negatives_approach_the_full_softmax() -> None:
    """The log-Q correction makes the estimate consistent, up to the target's own share of the sum."""
    rng = np.random.default_rng(1)
    embeddings = tf.constant(rng.normal(size=(20, 4)).astype(np.float32))
    table = tf.constant(rng.normal(size=(301, 4)).astype(np.float32) / 2)
    targets = tf.constant(rng.integers(1, 301, 20).astype(np.int32))
    negatives = log_uniform(100_000, tf.constant(300), tf.constant([1, 2]))
    # The target enters with its own corrected score; to compare, take the sum over the others from both.
    scores = tf.matmul(embeddings, tf.gather(table, negatives), transpose_b=True) - log_expected(
        negatives, 300, 100_000
    )
    estimate = tf.reduce_logsumexp(scores, 1)
    exact = tf.reduce_logsumexp(tf.matmul(embeddings, table[1:], transpose_b=True), 1)
    np.testing.assert_allclose(estimate, exact, atol=0.03)
    assert np.isfinite(float(sampled_softmax(embeddings, targets, table, negatives)))


def test_sampler_follows_its_distribution() -> None:
    rows = log_uniform(200_000, tf.constant(9), tf.constant([4, 5])).numpy()
    assert rows.min() == 1
    assert rows.max() == 9
    shares = np.bincount(rows, minlength=10)[1:] / len(rows)
    expected = np.exp(log_expected(tf.range(1, 10), 9, 1).numpy())
    assert expected.sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(shares, expected, atol=0.005)
    np.testing.assert_array_equal(rows, log_uniform(200_000, tf.constant(9), tf.constant([4, 5])))
