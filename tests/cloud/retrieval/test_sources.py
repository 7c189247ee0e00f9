# SPDX-License-Identifier: Apache-2.0
"""What sources of candidates keep of a ranker's order (K5 to K7), and systems tuned on an earlier cut (K9)."""

from __future__ import annotations

import numpy as np
import pytest

from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.evaluation.at_cut import AtCut
from pocketrec.cloud.rankers.inner_product import InnerProduct
from pocketrec.cloud.rankers.ranknet import RankNet
from pocketrec.cloud.retrieval.baselines import GRID, fitted, scores_of, tuned
from pocketrec.cloud.retrieval.sources import kept, ranked, table_sources

USERS, ITEMS, SIZE = 12, 150, 6


def scene(spread: bool = False) -> tuple[AtCut, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    cut = AtCut(np.array([f"u{i}" for i in range(USERS)], object), np.ones(USERS, bool),
                [rng.integers(1, ITEMS + 1, 5).astype(np.int32) for _ in range(USERS)],
                [np.array([i + 1, 60 + i], np.int32) for i in range(USERS)])  # fmt: skip
    items = rng.normal(size=(ITEMS + 1, SIZE)).astype(np.float32)
    items *= rng.uniform(0.1, 3, (ITEMS + 1, 1)).astype(np.float32) if spread else 1
    return cut, rng.normal(size=(USERS, SIZE)).astype(np.float32), items


def noisy(strength: float) -> RankNet:
    rng = np.random.default_rng(9)
    shapes = {"A": (SIZE, 8), "B": (SIZE, 8), "b1": (8,), "C": (8, 4), "b2": (4,), "w3": (4,)}
    tensors = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return RankNet.restore({**tensors, "w3": strength * tensors["w3"]})


def same(candidates: np.ndarray) -> np.ndarray:
    return candidates


def test_the_gold_standard_is_the_rankers_whole_order_without_known_items() -> None:
    cut, users, items = scene()
    ranker = noisy(1.0)
    gold = ranked(cut, users, items, ranker, 10)
    for row, user, history in zip(gold, users, cut.histories, strict=True):
        scores = ranker.scores(user[None], items)[0]
        scores[0] = scores[history] = -np.inf
        assert row.tolist() == np.argsort(-scores)[:10].tolist()


def test_all_items_keep_everything_and_the_inner_product_keeps_its_own_order() -> None:
    cut, users, items = scene()
    sources = {source.name: source for source in table_sources(users, items, cut.histories)}
    whole, _ = kept(cut, sources["pseudo-user"], ITEMS + 1, ranked(cut, users, items, noisy(2.0)), (ITEMS,), same)
    assert whole[ITEMS].keeps.tolist() == [1.0] * USERS
    gold = ranked(cut, users, items, InnerProduct(), 20)
    own, _ = kept(cut, sources["embedding"], ITEMS + 1, gold, (20, 30), same)
    assert own[20].keeps.tolist() == [1.0] * USERS


def test_a_query_that_knows_less_keeps_less() -> None:
    """Norms vary, so the cosine is another order; so is the mean of the history; int8 rows are nearly the same."""
    cut, users, items = scene(spread=True)
    gold = ranked(cut, users, items, InnerProduct(), 20)
    means = {}
    for source in table_sources(users, items, cut.histories):
        found, spent = kept(cut, source, ITEMS + 1, gold, (20,), same)
        means[source.name] = found[20].keeps.mean()
        assert spent >= 0
    assert means["embedding"] == 1
    assert means["embedding, int8"] > 0.9
    assert means["embedding, cosine"] < 0.9
    assert means["pseudo-user"] < 0.6


def test_what_came_and_end_to_end_are_of_the_candidates() -> None:
    cut, users, items = scene()
    source = table_sources(users, items, cut.histories)[0]
    gold = ranked(cut, users, items, InnerProduct())
    found, _ = kept(cut, source, ITEMS + 1, gold, (ITEMS,), same)
    new = [np.setdiff1d(rows, history) for rows, history in zip(cut.relevant, cut.histories, strict=True)]
    expected = [len(left) / 2 for left in new]  # this scene may hold known positives, which no list has
    assert found[ITEMS].recall.tolist() == pytest.approx(expected)
    def best_first(candidates: np.ndarray) -> np.ndarray:
        return np.array([sorted(row, key=lambda item: (item not in left, item == 0)) for left, row in
                         zip(new, candidates.tolist(), strict=True)])  # fmt: skip

    ideal, _ = kept(cut, source, ITEMS + 1, gold, (ITEMS,), best_first)
    assert (ideal[ITEMS].precision >= found[ITEMS].precision).all()
    assert ideal[ITEMS].precision.max() == 1


def test_baselines_are_tuned_by_an_earlier_cut() -> None:
    rng = np.random.default_rng(2)
    codes = np.repeat(np.arange(40), 30)
    items = 1 + (rng.zipf(1.6, len(codes)) * 3 + codes % 3) % 60
    log = Sequences.build(np.array([f"u{i:02}" for i in range(40)], object), codes, items, np.tile(np.arange(30), 40))
    earlier, later = log.cut(22)
    found = tuned(earlier, later, 60, seed=1)
    assert set(found) == set(GRID)
    cut = AtCut.of(earlier, later)
    for name, (kind, every) in GRID.items():
        options, figure = found[name]
        assert options in every
        assert len(every) == 1 or 0 <= figure <= 1
        lists = cut.lists(scores_of(fitted(kind, options, earlier, 60, 1), cut), 61)
        assert lists.shape == (len(cut), 100)
        assert all(set(row[row > 0].tolist()).isdisjoint(history.tolist()) for row, history in
                   zip(lists, cut.histories, strict=True))  # fmt: skip
