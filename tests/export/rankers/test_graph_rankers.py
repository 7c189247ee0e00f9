# SPDX-License-Identifier: Apache-2.0
"""What holds for every ranker in the exported graph: its forms give equal scores, and its gradients are the tape's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pocketrec.cloud.config.ranker import RANKERS
from pocketrec.device.contract.names import RANKER_TENSORS
from pocketrec.export.graph.softmax import Softmax
from pocketrec.export.rankers.inner_product import InnerProduct
from pocketrec.export.rankers.ranker import GraphRanker, make_ranker
from pocketrec.export.rankers.ranknet import RankNet
from pocketrec.export.tables.table import ItemTable

SIZE, USERS, ITEMS = 4, 6, 9


class RankerContract:
    """A subclass gives the ranker, and the tensors that are its own."""

    name: str

    def ranker(self) -> GraphRanker:
        return make_ranker(self.name)

    def variables(self) -> dict[str, tf.Variable]:
        return {}

    def value(self, variables: dict[str, tf.Variable]) -> Any:
        return lambda name: variables[name].value()

    def inputs(self) -> tuple[tf.Tensor, tf.Tensor]:
        rng = np.random.default_rng(3)
        return tuple(tf.constant(rng.normal(size=(n, SIZE)).astype(np.float32)) for n in (USERS, ITEMS))  # type: ignore[return-value]

    def test_all_forms_give_the_scores_of_the_plain_one(self) -> None:
        ranker, (users, items), value = self.ranker(), self.inputs(), self.value(self.variables())
        expected = ranker.plain_grid(users, items, value).numpy()
        assert expected.shape == (USERS, ITEMS)
        np.testing.assert_allclose(ranker.scores(users, items, value), expected, rtol=1e-5, atol=1e-5)
        grid, _ = ranker.grid(users, ranker.prepared(items, value), value)
        np.testing.assert_allclose(grid, expected, rtol=1e-5, atol=1e-5)
        pairs, _ = ranker.pairs(users, items[:USERS], value)
        np.testing.assert_allclose(pairs[:, 0], np.diag(expected), rtol=1e-5, atol=1e-5)
        plain = ranker.plain_pairs(users, items[:USERS], value)
        np.testing.assert_allclose(plain, np.diag(expected), rtol=1e-5, atol=1e-5)
        cube = ranker.plain_grid(tf.reshape(users, [2, 3, SIZE]), items, value)
        np.testing.assert_allclose(tf.reshape(cube, [USERS, ITEMS]), expected, rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize("sampled", [False, True])
    def test_gradients_of_the_loss_equal_the_tape(self, sampled: bool) -> None:
        """Of the weighted cross-entropy by users and by own tensors, with the full and with the sampled softmax."""
        ranker, variables, (users, items) = self.ranker(), self.variables(), self.inputs()
        value = self.value(variables)
        table = ItemTable.quantise(np.concatenate([np.zeros((1, SIZE)), items]).astype(np.float32), "float32")
        targets, share = np.array([3, 1, 9, 0, 2, 2], np.int32), np.array([0.3, 0.1, 0.2, 0.0, 0.2, 0.2], np.float32)
        negatives = tf.constant([1, 5, 2, 8], tf.int32) if sampled else None
        with tf.GradientTape() as tape:
            tape.watch(users)
            losses = self.plain_losses(ranker, users, table, targets, negatives, value)
            total = tf.reduce_sum(losses * share)
        expected = tape.gradient(total, [users, *variables.values()])
        softmax = Softmax(table, ranker, value)
        loss, by_users, own = softmax.loss(users, tf.constant(targets), negatives, tf.constant(share))
        np.testing.assert_allclose(loss.numpy()[targets > 0], losses.numpy()[targets > 0], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(by_users, expected[0], rtol=1e-4, atol=1e-5)
        assert set(own) == set(variables)
        for gradient, name in zip(expected[1:], variables, strict=True):
            np.testing.assert_allclose(own[name], gradient, rtol=1e-4, atol=1e-5, err_msg=name)

    @staticmethod
    def plain_losses(
        ranker: GraphRanker, users: tf.Tensor, table: ItemTable, targets: np.ndarray, negatives: Any, value: Any
    ) -> tf.Tensor:
        rows = tf.constant(table.embeddings())
        if negatives is None:
            logits = ranker.plain_grid(users, rows[1:], value)
            return tf.nn.sparse_softmax_cross_entropy_with_logits(np.maximum(targets - 1, 0), logits)

        def log_q(row: Any) -> Any:
            return np.log(np.log1p(1 / np.maximum(row, 1.0))).astype(np.float32)

        own = ranker.plain_pairs(users, tf.gather(rows, targets), value) - log_q(targets)
        others = ranker.plain_grid(users, tf.gather(rows, negatives), value) - log_q(negatives.numpy())
        others = tf.where(targets[:, None] == negatives.numpy(), -np.inf, others)
        logits = tf.concat([own[:, None], others], axis=1)
        return tf.nn.sparse_softmax_cross_entropy_with_logits(np.zeros(len(targets), np.int32), logits)

    def test_ranks_count_ties_against_the_target(self) -> None:
        ranker, (users, items), value = self.ranker(), self.inputs(), self.value(self.variables())
        twice = np.concatenate([np.zeros((1, SIZE)), items, items[:1]]).astype(np.float32)  # row 10 is row 1 again
        table = ItemTable.quantise(twice, "float32")
        targets = np.array([1, 10, 4, 2, 9, 0], np.int32)
        _, rank = Softmax(table, ranker, value).judge(users, tf.constant(targets), None)
        scores = ranker.plain_grid(users, tf.constant(twice[1:]), value).numpy()
        for user, target in enumerate(targets):
            if target:
                own = scores[user, target - 1]
                assert (scores[user] > own + 1e-5).sum() < rank[user] <= (scores[user] >= own - 1e-5).sum()
        assert rank[0] >= 2


class TestInnerProduct(RankerContract):
    name = "inner_product"


class TestRankNet(RankerContract):
    name = "ranknet"

    def ranker(self) -> GraphRanker:
        return RankNet()

    def variables(self) -> dict[str, tf.Variable]:
        rng = np.random.default_rng(8)
        shapes = [(SIZE, 5), (SIZE, 5), (5,), (5, 3), (3,), (3,)]
        return {name: tf.Variable(rng.normal(size=shape).astype(np.float32))
                for name, shape in zip(RANKER_TENSORS, shapes, strict=True)}  # fmt: skip

    def test_with_w3_zero_it_is_the_inner_product(self) -> None:
        variables, (users, items) = self.variables(), self.inputs()
        variables["ranker_w3"].assign(tf.zeros(3))
        expected = InnerProduct().scores(users, items, self.value({}))
        np.testing.assert_array_equal(RankNet().scores(users, items, self.value(variables)), expected)


class Network:
    """A small network over user, item and their product, as a second ranker would be: with tensors of its own."""

    def scores(self, users: tf.Tensor, items: tf.Tensor, value: Any) -> tf.Tensor:
        return self.grid(users, self.prepared(items, value), value)[0]

    def prepared(self, items: tf.Tensor, value: Any) -> Any:
        return items

    def grid(self, users: tf.Tensor, items: Any, value: Any) -> tuple[tf.Tensor, Any]:
        n, m = users.shape[0], items.shape[0]
        left = tf.reshape(tf.tile(users[:, None, :], [1, m, 1]), [n * m, SIZE])
        scores, trace = self.pairs(left, tf.tile(items, [n, 1]), value)
        return tf.reshape(scores, [n, m]), trace

    def grid_backward(self, trace: Any, slopes: tf.Tensor, share: tf.Tensor, value: Any) -> Any:
        n, m = slopes.shape
        by_pairs, own = self.pairs_backward(trace, tf.reshape(slopes, [n * m, 1]), tf.repeat(share, m), value)
        return tf.reduce_sum(tf.reshape(by_pairs, [n, m, SIZE]), axis=1), own

    def pairs(self, users: tf.Tensor, items: tf.Tensor, value: Any) -> tuple[tf.Tensor, Any]:
        wide = tf.concat([users, items, users * items], axis=1)
        hidden = tf.tanh(tf.matmul(wide, value("net_kernel")))
        return tf.matmul(hidden, value("net_out")), (wide, hidden, items)

    def pairs_backward(self, trace: Any, slopes: Any, share: tf.Tensor, value: Any) -> Any:
        wide, hidden, items = trace
        slopes = tf.ones([wide.shape[0], 1]) if slopes is None else slopes
        inner = tf.matmul(slopes, value("net_out"), transpose_b=True) * (1.0 - hidden * hidden)
        weighed = inner * share[:, None]
        into = tf.matmul(inner, value("net_kernel"), transpose_b=True)
        own = {
            "net_kernel": tf.matmul(wide, weighed, transpose_a=True),
            "net_out": tf.matmul(hidden, slopes * share[:, None], transpose_a=True),
        }
        return into[:, :SIZE] + into[:, 2 * SIZE :] * items, own

    def plain_grid(self, users: tf.Tensor, items: tf.Tensor, value: Any) -> tf.Tensor:
        left = users[..., None, :] + tf.zeros_like(items)
        return self.plain_pairs(left, items + tf.zeros_like(left), value)

    def plain_pairs(self, users: tf.Tensor, items: tf.Tensor, value: Any) -> tf.Tensor:
        wide = tf.concat([users, items, users * items], axis=-1)
        hidden = tf.tanh(tf.einsum("...i,ih->...h", wide, value("net_kernel")))
        return tf.einsum("...h,ho->...o", hidden, value("net_out"))[..., 0]


class TestANetworkFits(RankerContract):
    """What a second ranker needs is in the protocol: scores that are not a product, tensors of its own."""

    name = "network"

    def ranker(self) -> GraphRanker:
        return Network()

    def variables(self) -> dict[str, tf.Variable]:
        rng = np.random.default_rng(8)
        shapes = {"net_kernel": (3 * SIZE, 5), "net_out": (5, 1)}
        return {name: tf.Variable(rng.normal(size=shape).astype(np.float32)) for name, shape in shapes.items()}


def test_every_ranker_has_a_contract_test() -> None:
    assert {cls.name for cls in RankerContract.__subclasses__()} - {"network"} == {*RANKERS.own, "ranknet"}
    assert type(make_ranker("inner_product")) is InnerProduct
