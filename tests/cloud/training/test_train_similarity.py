# SPDX-License-Identifier: Apache-2.0
"""K2: the losses of the thesis by hand, with the sign that they should have."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from pocketrec.cloud.config.load import config_from_dict
from pocketrec.cloud.config.training import TrainConfig
from pocketrec.cloud.training.losses import binary
from pocketrec.cloud.training.objective import Objective
from pocketrec.cloud.training.similarity import affine, cosines, distance, pair_cosines, profiles
from pocketrec.device.base.errors import ConfigError

# Two users, each with a target and a negative; cosines 1, 0 (targets) and 0, -1 (negatives).
USERS = tf.constant([[[2.0, 0.0], [0.0, 1.0]]])  # (1, 2, 2)
OWN = tf.constant([[[1.0, 0.0], [3.0, 0.0]]])
OTHER = tf.constant([[0.0, -1.0]])  # the same negative for both
COUNTS = tf.ones([1, 2, 1], tf.bool)
HALF = tf.constant([[0.5, 0.5]])


def test_cosines_by_hand() -> None:
    np.testing.assert_allclose(pair_cosines(USERS, OWN), [[1, 0]], atol=1e-6)
    np.testing.assert_allclose(cosines(USERS, OTHER), [[[0], [-1]]], atol=1e-6)
    np.testing.assert_allclose(cosines(USERS, OTHER[tf.newaxis]), [[[0], [-1]]], atol=1e-6)


def test_cross_entropy_of_yes_and_no_by_hand() -> None:
    """-log sigmoid(0) - log sigmoid(-ln 3) = ln 2 + ln 4, and the mean of the negatives that count."""
    positive, negatives = tf.constant([0.0, 0.0]), tf.constant([[np.log(3.0), 9.0], [np.log(3.0), np.log(3.0)]])
    found = binary(positive, tf.cast(negatives, tf.float32), tf.constant([[True, False], [True, True]]))
    np.testing.assert_allclose(found, np.log([8, 8]), rtol=1e-5)


def test_affine_by_hand_with_plus() -> None:
    """Targets lose (1 - c) / 2 = 0, 1/2; negatives (c + 1) / 2 = 1/2, 0; half of each, mean of both users: 1/4."""
    found = affine(pair_cosines(USERS, OWN), cosines(USERS, OTHER), COUNTS, HALF)
    assert float(found) == pytest.approx(0.25)


def test_distance_of_cosines_by_hand() -> None:
    """Wanted 1, 1 and 0, 0: squares 0, 1 and 0, 1: the root of their mean, 1/2."""
    wanted = tf.constant([[1.0, 1.0]]), tf.constant([[[0.0], [0.0]]])
    found = distance(pair_cosines(USERS, OWN), cosines(USERS, OTHER), COUNTS, HALF, wanted)
    assert float(found) == pytest.approx(0.5**0.5)


def test_a_step_under_affine_draws_liked_pairs_together_and_others_apart() -> None:
    rng = np.random.default_rng(3)
    users, own, other = (tf.Variable(rng.normal(size=shape).astype(np.float32))
                         for shape in ((1, 2, 4), (1, 2, 4), (1, 4)))  # fmt: skip

    def loss() -> tf.Tensor:
        return affine(pair_cosines(users, own), cosines(users, other), COUNTS, HALF)

    before = pair_cosines(users, own).numpy(), cosines(users, other).numpy()
    with tf.GradientTape() as tape:
        value = loss()
    slopes = tape.gradient(value, [own, other])
    own.assign_sub(0.1 * slopes[0])
    other.assign_sub(0.1 * slopes[1])
    assert (pair_cosines(users, own).numpy() > before[0]).all()
    assert cosines(users, other).numpy().mean() < before[1].mean()


def test_profiles_are_means_of_the_window_so_far() -> None:
    vectors = tf.constant([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    items, keep = tf.constant([[1, 2, 2, 0]]), tf.constant([[0.0, 1.0, 0.0, 1.0]])
    np.testing.assert_allclose(profiles(vectors, items, keep)[0, :3], [[1, 0], [0.5, 0.5], [0, 1]])


class Rows:
    """A table for the objective."""

    def __init__(self, table: tf.Tensor) -> None:
        self.table = table

    def gather(self, rows: tf.Tensor) -> tf.Tensor:
        return tf.gather(self.table, rows)


def test_the_objective_adds_the_term_with_its_weight() -> None:
    table = Rows(tf.constant(np.random.default_rng(1).normal(size=(5, 2)).astype(np.float32)))
    targets, seed = tf.constant([[1, 2]]), tf.constant([1, 2])
    found = {}
    for weight in (0.0, 0.5, 1.0):
        config = TrainConfig(loss="binary", sampler="uniform", negatives=3, similarity="affine",
                             similarity_weight=weight)  # fmt: skip
        loss = Objective(config, np.array([0, 4, 3, 2, 1]))(USERS, targets, tf.ones([1, 2]), table, seed)
        found[weight] = float(loss)
    assert found[1.0] - found[0.0] == pytest.approx(2 * (found[0.5] - found[0.0]), rel=1e-4)
    assert 0 < found[1.0] - found[0.0] < 1
    plain = TrainConfig(loss="binary", sampler="uniform", negatives=3)
    loss = Objective(plain, np.array([0, 4, 3, 2, 1]))(USERS, targets, tf.ones([1, 2]), table, seed)
    assert float(loss) == pytest.approx(found[0.0])


@pytest.mark.parametrize(
    ("train", "says"),
    [
        ({"similarity": "affine"}, "wants a loss over negatives"),
        ({"similarity": "cosine", "loss": "binary"}, "compares with content"),
        ({"similarity": "near"}, "is not one of none, cosine, affine"),
    ],
)
def test_a_similarity_that_cannot_be_is_refused(train: dict, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        config_from_dict({"train": train})
