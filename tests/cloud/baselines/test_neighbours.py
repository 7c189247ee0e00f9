# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from pocketrec.cloud.baselines.neighbours import fit_neighbours
from pocketrec.cloud.config.knn import KnnConfig
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.device.base.errors import ConfigError


def log_of(histories: list[list[int]]) -> Sequences:
    ids = np.array([f"u{i:03}" for i in range(len(histories))], dtype=object)
    codes = np.repeat(np.arange(len(histories)), [len(history) for history in histories])
    items = np.array([item for history in histories for item in history], np.int64)
    return Sequences.build(ids, codes, items, np.arange(len(items)))


def reference(histories: list[list[int]], items: int, history: list[int], config: KnnConfig) -> np.ndarray:
    """The same, item by item, from the formula."""
    having = [{u for u, had in enumerate(histories) if item in had} for item in range(items + 1)]
    scores = np.zeros(items + 1)
    for age, item in enumerate(reversed(history)):
        near = []
        for other in range(1, items + 1):
            common = len(having[item] & having[other])
            if common:
                norm = (len(having[item]) * len(having[other])) ** 0.5
                near.append((-common / (norm + config.shrink), other))
        for value, other in sorted(near)[: config.neighbours]:
            scores[other] -= value * config.decay**age
    return np.where(scores > 0, scores, -np.arange(items + 1.0))


@examples(60)
@given(
    st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=8), min_size=1, max_size=8),
    st.lists(st.integers(1, 7), max_size=9), st.integers(1, 9), st.sampled_from([0.0, 3.0]),
    st.sampled_from([0.5, 1.0]),
)  # fmt: skip
def test_equal_to_the_formula(
    histories: list[list[int]], history: list[int], neighbours: int, shrink: float, decay: float
) -> None:
    config = KnnConfig(neighbours, shrink, decay)
    near = fit_neighbours(config, log_of(histories), 7)  # item 7 is had by nobody
    np.testing.assert_allclose(near.scores(np.array(history)), reference(histories, 7, history, config), rtol=1e-5)


def test_by_hand() -> None:
    near = fit_neighbours(KnnConfig(shrink=0, decay=0.5), log_of([[1, 2], [1, 2], [1, 3]]), 4)
    one_two, one_three = 2 / 6**0.5, 1 / 3**0.5
    scores = near.scores(np.array([2, 0, 3]))  # the unknown event in between is passed over
    np.testing.assert_allclose(scores[1:], [one_two / 2 + one_three, 0.5, 1, -4], rtol=1e-6)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    log = log_of(np.random.default_rng(3).integers(1, 40, (50, 9)).tolist())
    whole = fit_neighbours(KnnConfig(neighbours=5), log, 40)
    monkeypatch.setattr("pocketrec.cloud.baselines.neighbours._CELLS", 100)
    parts = fit_neighbours(KnnConfig(neighbours=5), log, 40)
    for field in dataclasses.fields(whole):
        np.testing.assert_array_equal(getattr(whole, field.name), getattr(parts, field.name))


def test_wrong_values_are_refused() -> None:
    for wrong in ({"neighbours": -1}, {"shrink": -1.0}, {"decay": 0.0}, {"decay": 1.5}):
        with pytest.raises(ConfigError, match="knn"):
            KnnConfig(**wrong)
