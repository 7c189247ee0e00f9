# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from pocketrec.cloud.backbones import build_model, item_embeddings
from pocketrec.cloud.config.model import GruOptions, ModelConfig
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.evaluation.scoring import embed_positions, full_ranks, positions, seen_before
from pocketrec.cloud.rankers.inner_product import InnerProduct

Histories = list[list[int]]


def sequences_of(histories: Histories) -> Sequences:
    ids = np.array([f"user {i:03}" for i in range(len(histories))], dtype=object)
    codes = np.repeat(np.arange(len(histories)), [len(history) for history in histories])
    items = np.array([item for history in histories for item in history], np.int64)
    times = np.array([t for history in histories for t in range(len(history))], np.int64)
    return Sequences.build(ids, codes, items, times)


@examples(60)
@given(
    st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=25), max_size=6), st.integers(1, 7), st.booleans(),
    st.integers(0, 12),
)  # fmt: skip
def test_every_target_once_with_the_items_before_it(histories: Histories, window: int, exact: bool, skip: int) -> None:
    sequences = sequences_of(histories)
    first = np.full(len(sequences), skip)
    where = positions(sequences, window, first, exact=exact)
    expected = []
    for user in range(len(sequences)):
        known = [(place, item) for place, item in enumerate(sequences.of(user)[0].tolist()) if item]
        expected += [(user, n, item) for n, (place, item) in enumerate(known) if n > 0 and place >= skip]
    assert sorted(zip(where.user.tolist(), where.place.tolist(), where.targets.tolist(), strict=True)) == expected
    for user, place, row, step in zip(where.user, where.place, where.window, where.step, strict=True):
        known = [item for item in sequences.of(int(user))[0].tolist() if item]
        context = where.windows[row][: step + 1].tolist()
        assert context == known[place - len(context) : place]
        assert len(context) <= window
        assert len(context) >= min(place, window if exact else window // 2)


def test_ranks_by_hand() -> None:
    table = np.array([[9.0], [1.0], [2.0], [2.0], [3.0]], np.float32)  # row 0 never counts
    ranks = full_ranks(np.ones((4, 1), np.float32), np.array([4, 3, 2, 1], np.int32), table, InnerProduct())
    assert ranks.tolist() == [1, 3, 3, 4]  # the tie of rows 2 and 3 counts against both


def test_seen_items_are_left_out_but_not_the_target() -> None:
    table = np.array([[0.0], [1.0], [2.0], [3.0]], np.float32)
    seen = [np.array([3, 3, 1], np.int32), np.array([2, 3], np.int32)]
    ranks = full_ranks(np.ones((2, 1), np.float32), np.array([1, 2], np.int32), table, InnerProduct(), seen)
    assert ranks.tolist() == [2, 1]


def test_seen_before_holds_the_known_items_before_the_target() -> None:
    sequences = sequences_of([[1, 0, 2, 1, 3]])
    where = positions(sequences, 2)
    assert [seen.tolist() for seen in seen_before(sequences, where)] == [[1], [1, 2], [1, 2, 1]]


def test_ranks_of_positions_equal_one_at_a_time() -> None:
    """With what a user has had left out, and with all."""
    rng = np.random.default_rng(0)
    sequences = sequences_of([rng.integers(0, 8, length).tolist() for length in (1, 2, 5, 9, 12)])
    model = build_model(ModelConfig(embedding=4, window=5, tables={"gru": GruOptions(hidden=6, layers=2)}), 7, 1)
    where, table = positions(sequences, 5), item_embeddings(model)
    users = embed_positions(model, where)
    masked, plain = (full_ranks(users, where.targets, table, InnerProduct(), seen)
                     for seen in (seen_before(sequences, where), None))  # fmt: skip
    for user, place, target, *found in zip(where.user, where.place, where.targets, masked, plain, strict=True):
        known = sequences.of(int(user))[0]
        known = known[known > 0]
        user_embedding = np.asarray(model(known[max(0, place - 5) : place][None]))[0, -1]
        scores = table @ user_embedding
        for rank, gone in zip(found, (set(known[:place].tolist()) - {int(target)}, set()), strict=True):
            others = [i for i in range(1, 8) if i != target and i not in gone]
            assert rank == 1 + sum(scores[i] >= scores[target] for i in others)


def test_nothing_to_rank() -> None:
    model = build_model(ModelConfig(embedding=4, window=5, tables={"gru": GruOptions(hidden=6, layers=1)}), 7, 1)
    where = positions(sequences_of([[3], [0, 0, 2]]), 5)
    assert len(where) == len(embed_positions(model, where)) == 0
