# SPDX-License-Identifier: Apache-2.0
"""Cloze: how many events of a row are masked, what they show, that the loss counts them alone, and that it learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from pocketrec.cloud.backbones import backbone, build_model, item_embeddings
from pocketrec.cloud.baselines.popularity import Popularity
from pocketrec.cloud.config.evaluate import EvaluateConfig
from pocketrec.cloud.config.model import ModelConfig
from pocketrec.cloud.config.nextitnet import GrecOptions
from pocketrec.cloud.config.training import MASKED, ClozeOptions, TrainConfig
from pocketrec.cloud.data.sequences import Sequences, offsets_of
from pocketrec.cloud.evaluation.global_model import sequence_ranks
from pocketrec.cloud.training.batches import Batch
from pocketrec.cloud.training.cloze import ClozeBatches, masks, most_masks
from pocketrec.cloud.training.objective import Objective
from pocketrec.cloud.training.step import TrainSteps
from pocketrec.cloud.training.trainer import TrainJob, make_batches, train

ITEMS = 12
OPTIONS = GrecOptions(dilations=[1, 2])
MODEL = ModelConfig(backbone="grec", embedding=16, window=6, dropout=0.0, tables={"grec": OPTIONS})
CONFIG = TrainConfig(objective="cloze", epochs=30, batch=8, learning_rate=0.02, validation=0.0)


def log_of(histories: list[list[int]]) -> Sequences:
    """Users whose events all lie one after the other in time."""
    names = np.array([f"{number:05}" for number in range(len(histories))], object)
    items = np.array([item for history in histories for item in history], np.int32)
    return Sequences(names, offsets_of(np.array([len(h) for h in histories])), items, np.arange(len(items)))


def cloze(log: Sequences, window: int, packed: bool = True) -> ClozeBatches:
    return ClozeBatches(log, np.ones(log.events, np.float32), window, 4, ClozeOptions(), packed=packed)


def rows_of(batches: ClozeBatches, seed: list[int]) -> Batch:
    """All rows of an epoch, [S * B, T + 1], without those of padding alone."""
    parts = [block.batches for block in batches.blocks(seed)]
    joined = [np.concatenate([part.reshape(-1, part.shape[-1]) for part in field])
              for field in zip(*parts, strict=True)]  # fmt: skip
    kept = (joined[0] != 0).any(1)
    return Batch(*(field[kept] for field in joined))


@pytest.mark.parametrize(
    ("events", "share", "most", "count"),
    [(1, 0.3, 30, 1), (2, 0.3, 30, 1), (5, 0.3, 30, 2), (20, 0.3, 30, 6), (99, 0.3, 30, 30), (200, 0.3, 30, 30),
     (10, 1.0, 30, 10), (10, 0.01, 30, 1), (0, 0.3, 30, 0)],
)  # fmt: skip
def test_how_many_are_masked(events: int, share: float, most: int, count: int) -> None:
    """30 %, at least one, at most 30."""
    assert masks(ClozeOptions(mask=share, mask_most=most), np.array([events])).tolist() == [count]


@examples(60)
@given(st.lists(st.lists(st.integers(0, ITEMS), min_size=1, max_size=15), min_size=1, max_size=9), st.integers(0, 99))
def test_every_window_has_exactly_so_many_masks_and_each_hides_the_item_of_its_place(
    histories: list[list[int]], seed: int
) -> None:
    log = log_of(histories)
    batches = cloze(log, 6, packed=False)
    if not len(batches.windows):
        return
    found = rows_of(batches, [seed, 0]) if batches.targets else Batch(*(np.zeros((0, 7)) for _ in range(4)))
    whole = np.where(found.targets > 0, found.targets, found.items)  # what the rows had
    known = sorted(tuple(row[row > 0]) for row in whole.tolist() for row in [np.array(row)])
    windows = [log.items[start : start + length + 1]
               for start, length in zip(batches.windows.start, batches.windows.length, strict=True)]  # fmt: skip
    assert known == sorted(tuple(row[row > 0]) for row in windows if (row > 0).any())
    np.testing.assert_array_equal((found.targets > 0).sum(1), masks(ClozeOptions(), (whole > 0).sum(1)))
    assert (found.targets > 0).sum() == batches.targets
    np.testing.assert_array_equal(found.weights, (found.targets > 0).astype(np.float32))
    assert ((found.items == MASKED) <= (found.targets > 0)).all()


@examples(40)
@given(st.lists(st.integers(2, 9), min_size=1, max_size=40), st.sampled_from([0.1, 0.3, 0.5, 1.0]))
def test_windows_share_rows_and_no_row_has_more_masks_than_its_bound(lengths: list[int], share: float) -> None:
    options, log = ClozeOptions(mask=share), log_of([[1 + place % ITEMS for place in range(n)] for n in lengths])
    batches = ClozeBatches(log, np.ones(log.events, np.float32), 8, 3, options)
    found = rows_of(batches, [1, 0])
    assert len(found.items) <= len(lengths)
    assert (found.keep == 0).sum() == len(lengths)
    numbers = np.cumsum(found.keep == 0, 1) + np.arange(len(found.items))[:, None] * 10
    size = numbers.max() + 1
    events, masked = (np.bincount(numbers[at], minlength=size) for at in (found.items != 0, found.targets > 0))
    events, masked = events[events > 0], masked[events > 0]
    np.testing.assert_array_equal(masked, masks(options, events))
    assert sorted(events.tolist()) == sorted(lengths)
    assert (found.targets > 0).sum(1).max() <= most_masks(options, 9) <= 9


def test_of_ten_masked_places_eight_show_a_mask_one_an_item_at_random_one_its_own() -> None:
    """Chi-square over 30,000 masked places, one part in a million each; every place of a row is as likely."""
    rng = np.random.default_rng(5)
    found = rows_of(cloze(log_of(rng.integers(1, ITEMS + 1, (5000, 20)).tolist()), 19), [1, 0])
    counts = found.targets > 0
    assert counts.sum() == 5000 * 6
    shown, own = found.items[counts], found.targets[counts]
    seen = np.array([(shown == MASKED).sum(), (shown == own).sum(), ((shown != MASKED) & (shown != own)).sum()])
    expected = counts.sum() * np.array([0.8, 0.1 + 0.1 / ITEMS, 0.1 - 0.1 / ITEMS])
    assert ((seen - expected) ** 2 / expected).sum() < 27.6  # two degrees of freedom
    at_random = np.bincount(shown[(shown != MASKED) & (shown != own)], minlength=ITEMS + 1)[1:]
    assert ((at_random - at_random.mean()) ** 2 / at_random.mean()).sum() < 51.0  # eleven
    places = counts.sum(0)
    assert ((places - places.mean()) ** 2 / places.mean()).sum() < 66.6  # nineteen
    np.testing.assert_array_equal(found.items[~counts] > 0, True)


def test_masks_follow_from_the_seed_and_a_block_can_be_made_again() -> None:
    batches = cloze(log_of(np.random.default_rng(1).integers(1, ITEMS + 1, (50, 7)).tolist()), 6)
    batches._windows_in_block = 7
    one, two = list(batches.blocks([1, 0])), list(batches.blocks([1, 0], first=3))
    assert len(one) == len(two) + 3 == 8
    for a, b in zip(one[3:], two, strict=True):
        assert (a.begin, a.end) == (b.begin, b.end)
        assert all(np.array_equal(x, y) for x, y in zip(a.batches, b.batches, strict=True))
    assert not np.array_equal(rows_of(batches, [1, 0]).targets, rows_of(batches, [1, 1]).targets)


def test_the_loss_counts_masked_places_alone() -> None:
    log = log_of(np.random.default_rng(2).integers(1, ITEMS + 1, (9, 7)).tolist())
    model, batches = build_model(MODEL, ITEMS, 1), make_batches(MODEL, CONFIG, log)
    steps = TrainSteps(backbone("grec"), model, MODEL, CONFIG, Objective(CONFIG, np.bincount(log.items)), 1)
    batch = Batch(*(field[0] for field in next(batches.blocks([1, 0])).batches))
    loss, _ = steps.loss(Batch(*map(tf.constant, batch)), tf.constant([1, 1]))
    users = backbone("grec").train_embeddings(model, MODEL, tf.constant(batch.items), tf.constant(batch.keep),
                                              tf.constant([1, 1]))[0].numpy()  # fmt: skip
    scores = users.astype(np.float64) @ item_embeddings(model)[1:].T
    own = np.take_along_axis(scores, np.maximum(batch.targets - 1, 0)[..., None], -1)[..., 0]
    each = np.log(np.exp(scores).sum(-1)) - own
    assert float(loss) == pytest.approx(each[batch.targets > 0].mean(), rel=1e-5)


@pytest.mark.long
def test_it_learns_and_goes_on_where_it_was_broken_off(tmp_path: Path) -> None:
    """The next item is certain, and said with nothing in the window that comes later; validation sees none either."""
    histories = [[(start + place) % ITEMS + 1 for place in range(9)] for start in range(ITEMS) for _ in range(6)]
    log = log_of(histories)
    trained = train(TrainJob(MODEL, CONFIG, log, ITEMS), tmp_path / "whole")
    ranks = sequence_ranks(trained.model, log, MODEL, EvaluateConfig(), {"popularity": Popularity(ITEMS + 1)})
    ours, popular = (float((1 / np.concatenate(ranks[name])).mean()) for name in ("global", "popularity"))
    assert ours > 0.9 > 2 * popular

    def broken(_entry: dict[str, Any]) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        train(TrainJob(MODEL, CONFIG, log, ITEMS), tmp_path / "broken", record=broken)
    again = train(TrainJob(MODEL, CONFIG, log, ITEMS), tmp_path / "broken")
    for one, two in zip(trained.model.get_weights(), again.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
