# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pocketrec.cloud.backbones import PlainTable
from pocketrec.cloud.config.training import BprMaxOptions, RankOptions, TrainConfig
from pocketrec.cloud.training import objective as train_objective
from pocketrec.cloud.training.objective import Objective

COUNTS = np.array([0, 9, 7, 4, 3, 2, 1, 1])
SEED = tf.constant([1, 2])
IN_BATCH = ("cross_entropy", "bpr", "top1", "bpr_max")


def case(groups: int, positions: int) -> tuple[tf.Variable, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    table = rng.normal(size=(8, 4)).astype(np.float32)
    targets = rng.integers(0, 8, (groups, positions)).astype(np.int32)  # duplicates and padding among them
    weights = np.where(targets > 0, rng.uniform(0.5, 2, targets.shape), 0).astype(np.float32)
    return tf.Variable(table), rng.normal(size=(groups, positions, 4)).astype(np.float32), targets, weights


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def reference(
    name: str, users: np.ndarray, targets: np.ndarray, weights: np.ndarray, table: np.ndarray, drawn: np.ndarray,
    log_q: bool, share: Callable[[int], float],
) -> float:  # fmt: skip
    """Position by position in plain numpy: every other target of the group, and the draws, but for the own item."""
    total = 0.0
    for group in range(len(targets)):
        inside = int((targets[group] > 0).sum())

        def expected(item: int, inside: int = inside) -> float:
            return float(inside * max(COUNTS[item], 1) / np.maximum(COUNTS[1:], 1).sum() + len(drawn) * share(item))

        for i, target in enumerate(targets[group].tolist()):
            if not target:
                continue
            others = [*np.delete(targets[group], i).tolist(), *drawn.tolist()]
            rows = [row for row in others if row not in (0, target)]
            ri, rj = users[group, i] @ table[target], table[rows] @ users[group, i]
            if log_q and name == "cross_entropy":
                rj = rj - np.log([expected(row) for row in rows])
            softmax = np.exp(rj) / np.exp(rj).sum()
            loss = {
                "cross_entropy": np.log(np.exp(ri) + np.exp(rj).sum()) - ri,
                "bpr": -np.log(sigmoid(ri - rj)).mean(),
                "top1": (sigmoid(rj - ri) + sigmoid(rj**2)).mean(),
                "bpr_max": -np.log((softmax * sigmoid(ri - rj)).sum()) + 0.3 * (softmax * rj**2).sum(),
            }[name]
            total += weights[group, i] * loss
    return total / int((targets > 0).sum())


@pytest.mark.parametrize("name", IN_BATCH)
@pytest.mark.parametrize("shape", [(1, 9), (3, 5)])
@pytest.mark.parametrize("negatives", [0, 6])
@pytest.mark.parametrize("log_q", [True, False])
def test_in_batch_losses_equal_numpy(name: str, shape: tuple[int, int], negatives: int, log_q: bool) -> None:
    """D4, P8: B x B scores with duplicates of the target and padding masked; one group and several."""
    table, users, targets, weights = case(*shape)
    tables = {"bpr_max": BprMaxOptions(penalty=0.3)}
    config = TrainConfig(loss=name, negatives=negatives, sampler="popularity", log_q=log_q, tables=tables)
    objective = Objective(config, COUNTS)
    drawn = objective.sampler.draw(negatives, SEED).numpy() if negatives else np.zeros(0, int)
    powers = np.sqrt(np.maximum(COUNTS[1:], 1))

    def share(item: int) -> float:
        return float(powers[item - 1] / powers.sum())

    expected = reference(name, users, targets, weights, table.numpy(), drawn, log_q, share)
    got = objective(tf.constant(users), tf.constant(targets), tf.constant(weights), PlainTable(table), SEED)
    assert float(got) == pytest.approx(expected, rel=1e-4)


def test_sampled_softmax_by_hand() -> None:
    table = tf.Variable([[0.0], [1.0], [2.0], [3.0]])
    objective = Objective(TrainConfig(loss="sampled_softmax", negatives=5), np.array([0, 3, 2, 1]))
    drawn = objective.sampler.draw(5, SEED).numpy().tolist()
    assert 2 in drawn  # the target: masked
    assert set(drawn) > {2}
    got = objective(tf.ones([1, 1, 1]), tf.constant([[2]]), tf.ones([1, 1]), PlainTable(table), SEED)
    expected = {row: 5 * np.log((row + 1) / row) / np.log(4) for row in (1, 3)}
    total = np.exp(2) + sum(np.exp(row) / expected[row] for row in drawn if row != 2)
    assert float(got) == pytest.approx(np.log(total) - 2, rel=1e-5)


@pytest.mark.parametrize("sampler", ["log_uniform", "uniform", "popularity", "rank"])
def test_many_negatives_approach_the_full_softmax(sampler: str) -> None:
    """The log-Q correction makes the estimate consistent whatever the sampler; without it, it is not."""
    rng = np.random.default_rng(1)
    users = tf.constant(rng.normal(size=(1, 20, 4)).astype(np.float32))
    table = tf.Variable(np.concatenate([np.zeros((1, 4)), rng.normal(size=(300, 4)) / 2]).astype(np.float32))
    targets, counts = tf.constant(rng.integers(1, 301, (1, 20)).astype(np.int32)), np.arange(600, 299, -1)
    weights = tf.ones([1, 20])

    def loss(name: str, **options: Any) -> float:
        tables = {"rank": RankOptions(rho=0.5)}
        config = TrainConfig(loss=name, negatives=200_000, sampler=sampler, tables=tables, **options)
        return float(Objective(config, counts)(users, targets, weights, PlainTable(table), SEED))

    exact = loss("full_softmax")
    assert loss("sampled_softmax") == pytest.approx(exact, abs=0.05)
    if sampler != "uniform":
        assert abs(loss("sampled_softmax", log_q=False) - exact) > 0.05


@pytest.mark.parametrize("name", ["full_softmax", "sampled_softmax", *IN_BATCH])
def test_no_target_no_loss_and_gradients_of_few_rows(name: str) -> None:
    table, users, targets, weights = case(1, 5)
    objective = Objective(TrainConfig(loss=name, negatives=3), COUNTS)
    with tf.GradientTape() as tape:
        value = objective(tf.constant(users), tf.constant(targets), tf.constant(weights), PlainTable(table), SEED)
    assert isinstance(tape.gradient(value, table), tf.IndexedSlices) == objective.sparse
    none = tf.zeros_like(targets)
    assert float(objective(tf.constant(users), none, tf.zeros([1, 5]), PlainTable(table), SEED)) == 0


def test_of_a_large_batch_some_targets_are_negatives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_objective, "_LEAST", 2)
    monkeypatch.setattr(train_objective, "_CELLS", 5 * 3)
    table, users, targets, weights = case(1, 5)
    objective = Objective(TrainConfig(loss="bpr", negatives=0), COUNTS)
    got = objective(tf.constant(users), tf.constant(targets), tf.constant(weights), PlainTable(table), SEED)
    total = 0.0
    for i, target in enumerate(targets[0].tolist()):
        rows = [row for row in targets[0, :3].tolist() if row not in (0, target)]
        if target and rows:
            difference = users[0, i] @ table.numpy()[target] - table.numpy()[rows] @ users[0, i]
            total -= weights[0, i] * np.log(sigmoid(difference)).mean()
    assert float(got) == pytest.approx(total / (targets > 0).sum(), rel=1e-5)
