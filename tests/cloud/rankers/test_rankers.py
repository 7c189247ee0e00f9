# SPDX-License-Identifier: Apache-2.0
"""What holds for every ranker: numpy, training and gradients agree."""

from __future__ import annotations

import subprocess
import sys
from typing import ClassVar

import keras
import numpy as np
import pytest
import tensorflow as tf

from pocketrec.cloud.config.load import config_from_dict
from pocketrec.cloud.config.ranker import RANKERS, RankerConfig
from pocketrec.cloud.rankers import Ranker, make_ranker, training_ranker
from pocketrec.cloud.rankers.ranknet import RankNet
from pocketrec.cloud.rankers.ranknet_training import initial_tensors, with_ranknet
from pocketrec.cloud.rankers.training import TrainingRanker
from pocketrec.device.base.errors import ConfigError, DataError

SIZE, ITEMS = 6, 11
_RNG = np.random.default_rng(4)
USERS = _RNG.normal(size=(3, 5, SIZE)).astype(np.float32)  # (G, P, E)
TABLE = _RNG.normal(size=(ITEMS + 1, SIZE)).astype(np.float32)  # (N + 1, E)


class RankerContract:
    """What holds for every ranker; a subclass names one."""

    kind: ClassVar[str]

    def ranker(self) -> Ranker:
        return make_ranker(RankerConfig(self.kind))

    def training(self) -> TrainingRanker:
        return training_ranker(RankerConfig(self.kind))

    def test_a_score_of_every_item_for_any_shape_of_users(self) -> None:
        ranker = self.ranker()
        whole = ranker.scores(USERS, TABLE)
        assert whole.shape == (3, 5, ITEMS + 1)
        assert whole.dtype == np.float32
        np.testing.assert_allclose(ranker.scores(USERS[1], TABLE), whole[1], rtol=1e-5)
        np.testing.assert_allclose(ranker.scores(USERS[1, 2], TABLE), whole[1, 2], rtol=1e-5)
        np.testing.assert_allclose(ranker.scores(USERS[1], TABLE[[7, 2, 7]]), whole[1][:, [7, 2, 7]], rtol=1e-5)
        assert ranker.scores(USERS[0, :0], TABLE).shape == (0, ITEMS + 1)

    def test_scores_may_be_written_to_and_the_arguments_stay(self) -> None:
        users, table = USERS.copy(), TABLE.copy()
        for array in (users, table):
            array.setflags(write=False)
        self.ranker().scores(users, table)[...] = 0

    def test_training_scores_as_numpy_does(self) -> None:
        expected, training = self.ranker().scores(USERS, TABLE), self.training()
        shared = training.grid(tf.constant(USERS), tf.constant(TABLE))
        np.testing.assert_allclose(shared, expected, rtol=1e-4, atol=1e-5)
        rows = np.array([[1, 4], [2, 2], [11, 0]])
        own = training.grid(tf.constant(USERS), tf.gather(TABLE, rows))
        np.testing.assert_allclose(own, np.take_along_axis(expected, rows[:, None], 2), rtol=1e-4, atol=1e-5)
        flat = training.grid(tf.constant(USERS[0]), tf.constant(TABLE))
        np.testing.assert_allclose(flat, expected[0], rtol=1e-4, atol=1e-5)
        targets = np.array([[1, 2, 3, 4, 5], [6, 7, 8, 9, 10], [11, 1, 1, 1, 0]])
        pairs = training.pairs(tf.constant(USERS), tf.gather(TABLE, targets))
        at = np.take_along_axis(expected, targets[..., None], 2)[..., 0]
        np.testing.assert_allclose(pairs, at, rtol=1e-4, atol=1e-5)

    def test_cross_entropy_and_its_gradients_are_those_of_the_scores(self) -> None:
        """A fast path of its own gives what `TrainingRanker.cross_entropy` gives, for users and for the table."""
        users, table = tf.Variable(USERS.reshape(-1, SIZE)), tf.Variable(TABLE)
        targets = tf.constant([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 1, 1, 0, 2])
        weights = tf.constant([1, 2, 0.5, 1, 1, 1, 3, 1, 1, 1, 1, 1, 1, 0, 1], tf.float32)
        found = []
        for way in (type(self.training()).cross_entropy, TrainingRanker.cross_entropy):
            with tf.GradientTape() as tape:
                loss = way(self.training(), users, targets, weights, table)
            slopes = tape.gradient(loss, [users, table])
            found.append([loss, *(tf.convert_to_tensor(slope) for slope in slopes)])
        for ours, plain in zip(*found, strict=True):
            np.testing.assert_allclose(ours, plain, rtol=1e-4, atol=1e-5)
        assert not np.any(found[0][2][0]), "row 0 (padding) takes no part"


def ranknet_model() -> keras.Model:
    """A model that is only inputs and RankNet's tensors, all of them at random."""
    inputs = keras.Input((None, SIZE))
    model = with_ranknet(keras.Model(inputs, keras.layers.Identity()(inputs)), [8, 5], True, 3)
    rng = np.random.default_rng(6)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(0, 0.7, variable.shape))
    return model


class TestRankNet(RankerContract):
    kind = "ranknet"
    model: ClassVar[keras.Model] = ranknet_model()

    def ranker(self) -> Ranker:
        return make_ranker(RankerConfig("ranknet"), self.model)

    def training(self) -> TrainingRanker:
        return training_ranker(RankerConfig("ranknet"), self.model)

    @pytest.mark.feature("K1")
    def test_by_hand(self) -> None:
        """E = 1, one unit each: elu(2 * .5 + 1 * 3 - 1) = 3, elu(-3 + 1) = e^-2 - 1, and 2 * 3 beside it."""
        one = {"A": [[0.5]], "B": [[1.0]], "b1": [-1.0], "C": [[-1.0]], "b2": [1.0], "w3": [10.0]}
        ranker = RankNet.restore({name: np.array(value, np.float32) for name, value in one.items()})
        found = ranker.scores(np.array([[2]], np.float32), np.array([[3]], np.float32))
        assert found.shape == (1, 1)
        assert float(found[0, 0]) == pytest.approx(6 + 10 * (np.exp(-2) - 1))

    def test_at_the_start_it_is_the_inner_product_bit_for_bit(self) -> None:
        arrays = initial_tensors(SIZE, [8, 5], True, 1)
        plain = make_ranker(RankerConfig())
        np.testing.assert_array_equal(RankNet.restore(arrays).scores(USERS, TABLE), plain.scores(USERS, TABLE))

    def test_each_scores_a_users_own_items(self) -> None:
        rows = np.array([[1, 4, 4], [2, 0, 7]])
        for ranker in (self.ranker(), make_ranker(RankerConfig())):
            whole = ranker.scores(USERS[0, :2], TABLE)
            found = ranker.each(USERS[0, :2], TABLE[rows])
            np.testing.assert_allclose(found, np.take_along_axis(whole, rows, 1), rtol=1e-5, atol=1e-5)

    def test_without_the_inner_product_it_is_the_network_alone(self) -> None:
        arrays = initial_tensors(SIZE, [8, 5], False, 1)
        found = RankNet.restore(arrays | {"inner": np.zeros((), np.float32)}).scores(USERS, TABLE)
        both = RankNet.restore(arrays).scores(USERS, TABLE)
        np.testing.assert_allclose(both - found, USERS @ TABLE.T, atol=1e-5)

    def test_missing_tensors_are_one_line(self) -> None:
        with pytest.raises(DataError, match="ranker ranknet has no tensor A"):
            RankNet.restore({})


class TestInnerProduct(RankerContract):
    kind = "inner_product"

    def test_by_hand(self) -> None:
        users, items = np.array([[1, 2]], np.float32), np.array([[3, 4], [0, -1]], np.float32)
        assert self.ranker().scores(users, items).tolist() == [[11, -2]]


def test_every_ranker_has_a_contract_test() -> None:
    assert {cls.kind for cls in RankerContract.__subclasses__()} == set(RANKERS)


def test_an_unknown_ranker_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ConfigError, match=r"ranker.kind 'oracle' is not known: it is one of inner_product, ranknet"):
        config_from_dict({"ranker": {"kind": "oracle"}})


def test_scoring_in_numpy_loads_no_tensorflow() -> None:
    code = (
        "import sys\nfrom pocketrec.cloud.config.ranker import RankerConfig\n"
        "from pocketrec.cloud.rankers import make_ranker\nmake_ranker(RankerConfig())\n"
        "assert not {'tensorflow', 'keras', 'pandas', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
