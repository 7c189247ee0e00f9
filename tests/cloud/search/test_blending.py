# SPDX-License-Identifier: Apache-2.0
"""How strongly neighbours count where nobody comes back: by what came after an earlier cut, and by nothing else."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from exported import shaken

from pocketrec.cloud.backbones import item_embeddings
from pocketrec.cloud.baselines.neighbours import fit_neighbours
from pocketrec.cloud.baselines.shipped import shipped
from pocketrec.cloud.config.knn import KnnConfig
from pocketrec.cloud.config.load import config_from_dict
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.data.split import continued
from pocketrec.cloud.evaluation.global_model import sequence_ranks
from pocketrec.cloud.evaluation.ranking import Places
from pocketrec.cloud.search import blending
from pocketrec.cloud.search.blending import blend

ITEMS = 40
CONFIG = config_from_dict({"model": {"embedding": 4, "window": 5}, "split": {"kind": "sessions"}})
MODEL = CONFIG.model


def sessions(first: int, count: int, *, pairs: bool = True) -> Sequences:
    """Sessions of two items that go together (1 and 2, 3 and 4, ...), or of any two."""
    generator = np.random.default_rng(first)
    rows = []
    for _ in range(count):
        one = 1 + 2 * int(generator.integers(ITEMS // 2))
        rows.append((one, one + 1) if pairs else tuple(generator.integers(1, ITEMS + 1, 2).tolist()))
    items = np.array(rows).ravel()
    names = np.array([f"s{first + number:05}" for number in range(count)], object)
    return Sequences.build(names, np.repeat(np.arange(count), 2), items, np.arange(2 * count) + 10 * first)


def near(events: Sequences) -> object:
    return shipped(fit_neighbours(KnnConfig(neighbours=5, own=False), events, ITEMS))


@pytest.mark.parametrize(("pairs", "helps"), [(True, True), (False, False)])
def test_neighbours_count_where_what_came_later_went_with_them(pairs: bool, helps: bool) -> None:
    earlier, later = sessions(0, 200), sessions(1000, 100, pairs=pairs)
    model = shaken(MODEL, ITEMS, 0.05)  # has learned nothing
    found = blend(model, earlier, later, near(earlier), CONFIG)
    assert found.users == 100
    assert (found.strength > 0) == helps
    if helps:
        assert found.tried[found.strength] > 0.9
        assert found.tried[0.0] < 0.3


def test_the_strengths_are_judged_as_the_evaluation_judges(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same ranks as those of the system ``neighbours``, with seen items left out or not; a sample is seeded."""
    earlier, later = sessions(0, 50), sessions(1000, 60)
    model, table = shaken(MODEL, ITEMS, 0.5), near(earlier)
    for mask in (False, True):
        config = dataclasses.replace(CONFIG, evaluate=dataclasses.replace(CONFIG.evaluate, mask_seen=mask))
        found = blend(model, earlier, later, table, config)
        ranks = sequence_ranks(model, later, MODEL, config.evaluate, neighbours=table)
        for system, strength in (("global", 0.0), ("neighbours", 1.0)):
            rank = np.concatenate(ranks[system])
            assert found.tried[strength] == pytest.approx(np.where(rank <= 20, 1 / rank, 0).mean(), abs=1e-6)
    monkeypatch.setattr(blending, "_SESSIONS", 20)
    seeds = [dataclasses.replace(CONFIG, seed=seed) for seed in (1, 1, 2)]
    some = [blend(model, earlier, later, table, config) for config in seeds]
    assert [one.users for one in some] == [20, 20, 20]
    assert some[0] == some[1] != some[2]


def test_whoever_was_there_before_brings_a_history() -> None:
    """A log with its own split may have users on both sides: what they had before is context, and not judged."""
    earlier = Sequences.build(np.array(["a", "b"], object), np.array([0, 0, 1]), np.array([1, 2, 5]), np.arange(3))
    names, items = np.array(["b", "c"], object), np.array([6, 7, 1, 2])
    later = Sequences.build(names, np.array([0, 0, 1, 1]), items, np.arange(4) + 9)
    whole, first = continued(earlier, later)
    assert (whole.users.tolist(), first.tolist()) == (["b", "c"], [1, 0])
    where = Places.of(whole, ITEMS, 5, first).where
    assert where.targets.tolist() == [6, 7, 2]
    model = shaken(MODEL, ITEMS, 0.5)
    assert len(item_embeddings(model)) == ITEMS + 1
    assert blend(model, earlier, later, near(earlier), CONFIG).users == 2
