# SPDX-License-Identifier: Apache-2.0
"""The client of PFedRec: its model, the order of its steps, its rates (F1 to F3), and the negatives it draws."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from tastes import tastes_log

from pocketrec.cloud.federated.pfedrec.block import Passes, blocks, train_block
from pocketrec.cloud.federated.pfedrec.client import Heads, first_model, sigmoid
from pocketrec.cloud.federated.pfedrec.config import PFedRecConfig, item_rate
from pocketrec.cloud.federated.pfedrec.data import Split, split_log
from pocketrec.cloud.federated.pfedrec.rounds import begin
from pocketrec.cloud.federated.pfedrec.sampling import Sampler, forbidden_items
from pocketrec.cloud.federated.pfedrec.upload import own_table

SMALL = tastes_log(users=12, items=500, events=40)


def _clients() -> tuple[Split, Sampler]:
    split, _ = split_log(SMALL, 1)
    return split, Sampler(split, forbidden_items(split, "strict"), 4)


def test_f1_a_client_holds_33_private_numbers_and_scores_items_by_a_linear_unit() -> None:
    split, _ = _clients()
    state = begin(PFedRecConfig(), split, seed=1).state
    assert state.heads.weights.shape == (12, 32)
    assert state.heads.weights[0].size + state.heads.bias[0].size == 33
    assert state.table.shape == (split.items, 32)
    logits = state.table @ state.heads.weights[3] + state.heads.bias[3]
    assert state.shared(3, 4)[0] == pytest.approx(logits, abs=1e-5)
    assert sigmoid(np.array([-2.0, 0.0, 2.0])) == pytest.approx([0.11920292, 0.5, 0.88079708])


def _by_hand(
    table: NDArray, weights: NDArray, bias: float, items: NDArray, labels: NDArray, rate: float, rate_items: float,
    *, together: bool = False,
) -> tuple[NDArray, NDArray, float]:  # fmt: skip
    """One batch in float64, sample by sample; `together`: both steps from the same gradients, which is wrong."""
    table, size = table.astype(np.float64), len(items)
    weights, old = weights.astype(np.float64), weights.astype(np.float64)
    slopes = 1 / (1 + np.exp(-(table[items] @ weights + bias))) - labels
    before = slopes.copy()
    weights = weights - rate * sum(slope * table[item] for slope, item in zip(slopes, items, strict=True)) / size
    bias = bias - rate * slopes.sum() / size
    slopes = 1 / (1 + np.exp(-(table[items] @ weights + bias))) - labels
    moved = table.copy()
    for place, item in enumerate(items):
        moved[item] -= rate_items / size * (before[place] * old if together else slopes[place] * weights)
    return moved, weights, bias


def test_f2_score_step_first_then_the_loss_again_then_the_item_step() -> None:
    split, sampler = _clients()
    table, heads = first_model(np.random.default_rng(5), split.items, 4, len(split))
    client = np.array([7])
    samples = sampler.draw(np.random.default_rng(3), client)
    trained = train_block(np.random.default_rng(3), table, heads, client, sampler, Passes(1000, 1, 0.1, 50.0))
    given = (table, heads.weights[7], float(heads.bias[7]), samples.items, samples.labels, 0.1, 50.0)
    moved, weights, bias = _by_hand(*given)
    assert trained.heads.weights[0] == pytest.approx(weights, abs=1e-6)
    assert trained.heads.bias[0] == pytest.approx(bias, abs=1e-6)
    assert own_table(table, trained.steps) == pytest.approx(moved, abs=1e-5)
    assert trained.rows == pytest.approx(moved[trained.slots], abs=1e-5)
    wrong, _, _ = _by_hand(*given, together=True)
    assert np.abs(wrong - moved).max() > 1e-3


def test_f2_batches_follow_one_another_and_the_short_last_one_is_kept() -> None:
    split, sampler = _clients()
    table, heads = first_model(np.random.default_rng(5), split.items, 4, len(split))
    every = np.arange(len(split))
    samples = sampler.draw(np.random.default_rng(3), every)
    trained = train_block(np.random.default_rng(3), table, heads, every, sampler, Passes(16, 1, 0.1, 20.0))
    for client in every:
        moved, weights, bias = table, heads.weights[client], float(heads.bias[client])
        first, last = samples.offsets[client : client + 2]
        assert (last - first) % 16, "this log has no short last batch"
        for begin_ in range(first, last, 16):
            part = slice(begin_, min(begin_ + 16, last))
            moved, weights, bias = _by_hand(moved, weights, bias, samples.items[part], samples.labels[part], 0.1, 20.0)
        assert own_table(table, trained.steps.of(client, client + 1)) == pytest.approx(moved, abs=1e-4)
        assert trained.heads.weights[client] == pytest.approx(weights, abs=1e-5)


def test_f3_the_item_rate_is_lr_times_items_times_eta() -> None:
    assert item_rate(PFedRecConfig(), 1682) == pytest.approx(13_456)
    assert item_rate(PFedRecConfig(), 3706) == pytest.approx(29_648)
    assert item_rate(PFedRecConfig(learning_rate=0.01, eta=8), 100) == pytest.approx(8)


def test_blocks_hold_every_client_once() -> None:
    counts = np.random.default_rng(1).integers(1, 40_000, 500)
    parts = list(blocks(counts))
    assert sorted(np.concatenate(parts).tolist()) == list(range(500))
    assert all(counts[part].sum() <= 1 << 15 or len(part) == 1 for part in parts)


@pytest.mark.parametrize("sampling", ["strict", "paper"])
def test_negatives_are_different_allowed_items_and_all_of_them_come(sampling: str) -> None:
    split, test = split_log(SMALL, 1)
    forbidden = forbidden_items(split, sampling, test)
    sampler, every = Sampler(split, forbidden, 4), np.arange(len(split))
    rng, drawn = np.random.default_rng(1), np.zeros((len(split), split.items), np.int64)
    for _ in range(60):
        samples = sampler.draw(rng, every)
        negative = samples.labels == 0
        assert negative.sum() == 4 * len(split.train)
        np.add.at(drawn, (samples.owners[negative], samples.items[negative]), 1)
        positives = [np.sort(samples.items[(samples.owners == client) & ~negative]) for client in every]
        truth = [np.sort(split.train[split.offsets[client] : split.offsets[client + 1]]) for client in every]
        assert all(map(np.array_equal, positives, truth))
    assert not drawn[forbidden].any()
    assert (drawn[~forbidden] > 0).mean() > 0.98
    everyone = np.arange(len(split))
    leaked = drawn[everyone, test.targets].sum() + drawn[everyone, split.validation].sum()
    assert (leaked == 0) == (sampling == "paper")


def test_the_four_negatives_of_a_positive_differ() -> None:
    split, _ = _clients()
    few = np.ones((len(split), split.items), dtype=bool)
    few[:, :4] = False  # four items are left: each positive must get all of them
    samples = Sampler(split, few, 4).draw(np.random.default_rng(1), np.array([3]))
    named = np.bincount(samples.items[samples.labels == 0], minlength=split.items)
    assert named[:4].tolist() == [split.lengths[3]] * 4


def test_a_head_of_one_client_is_not_anothers() -> None:
    split, sampler = _clients()
    table, heads = first_model(np.random.default_rng(5), split.items, 4, len(split))
    before = Heads(heads.weights.copy(), heads.bias.copy())
    trained = train_block(np.random.default_rng(3), table, heads, np.array([2, 9]), sampler, Passes(256, 2, 0.1, 50.0))
    assert not np.allclose(trained.heads.weights[0], trained.heads.weights[1])
    assert np.array_equal(heads.weights, before.weights)
    assert np.array_equal(heads.bias, before.bias)
