# SPDX-License-Identifier: Apache-2.0
"""Sequences and training windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.data.windows import training_windows
from pocketrec.device.base.errors import DataError

names = st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), min_size=1, max_size=4)
times = st.integers(0, 9) | st.floats(0, 9)
histories = st.dictionaries(names, st.lists(st.tuples(st.integers(1, 99), st.integers(0, 9)), min_size=1, max_size=12))


def build(data: dict[str, list[tuple[int, int]]]) -> Sequences:
    ids = np.empty(len(data), dtype=object)
    ids[:] = list(data)
    events = [(code, item, time) for code, history in enumerate(data.values()) for item, time in history]
    codes, items, stamps = (np.array(column, np.int64) for column in zip(*events, strict=True)) if events else (
        np.zeros(0, np.int64),) * 3  # fmt: skip
    return Sequences.build(ids, codes, items, stamps)


def of_lengths(lengths: list[int]) -> Sequences:
    """User i has items 1000 i + 1, 1000 i + 2, ..."""
    return build({f"{i:03}": [(1000 * i + k + 1, k) for k in range(n)] for i, n in enumerate(lengths)})


def equal(one: Sequences, other: Sequences) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) and
               getattr(one, name).dtype == getattr(other, name).dtype
               for name in ("users", "offsets", "items", "timestamps"))  # fmt: skip


@examples(100)
@given(data=histories)
def test_build_sorts_by_user_then_time_and_keeps_ties(data: dict[str, list[tuple[int, int]]]) -> None:
    sequences = build(data)
    assert list(sequences.users) == sorted(data)
    assert sequences.items.dtype == np.int32
    for place, user in enumerate(sequences.users):
        expected = sorted(data[user], key=lambda event: event[1])
        assert list(zip(*sequences.of(place), strict=True)) == expected
        assert sequences.find(user) == place
    assert sequences.find("no\nuser") is None
    assert sequences.find_all([*sequences.users[::-1], "no\nuser"]).tolist() == [*range(len(data))[::-1], -1]


@examples(60)
@given(data=histories)
def test_save_and_load(tmp_path_factory: pytest.TempPathFactory, data: dict[str, list[tuple[int, int]]]) -> None:
    path = tmp_path_factory.getbasetemp() / "s.npz"  # not a folder for each example: to make them takes as long
    sequences = build(data)
    sequences.save(path)
    assert equal(Sequences.load(path), sequences)
    raw = path.read_bytes()
    sequences.save(path)
    assert path.read_bytes() == raw


def test_one_long_id_costs_its_own_bytes_only(tmp_path: Path) -> None:
    sequences = build({"x" * 100_000: [(1, 0)], **{f"u{i}": [(1, 0)] for i in range(1000)}})
    sequences.save(tmp_path / "s.npz")
    assert (tmp_path / "s.npz").stat().st_size < 200_000
    assert equal(Sequences.load(tmp_path / "s.npz"), sequences)


def test_load_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    with pytest.raises(DataError, match=r"no file .*: run `pocketrec prepare` first"):
        Sequences.load(path)
    of_lengths([3]).save(path)
    for raw in (b"", path.read_bytes()[:-5], b"no archive"):
        path.write_bytes(raw)
        with pytest.raises(DataError, match=r"cannot read .*: run `pocketrec prepare` again"):
            Sequences.load(path)
    np.savez(path, user_bytes=np.array([{}], dtype=object))  # pickled objects are refused
    with pytest.raises(DataError):
        Sequences.load(path)


@examples(60)
@given(data=histories, time=st.integers(-1, 11))
def test_cut(data: dict[str, list[tuple[int, int]]], time: int) -> None:
    sequences = build(data)
    before, after = sequences.cut(time)
    assert equal(before, build({u: kept for u, h in data.items() if (kept := [e for e in h if e[1] < time])}))
    assert equal(after, build({u: kept for u, h in data.items() if (kept := [e for e in h if e[1] >= time])}))


def test_cut_heads_and_select() -> None:
    sequences = of_lengths([3, 1, 4])
    head, rest = sequences.cut_heads(np.array([1, 1, 0]))
    assert head.items.tolist() == [1, 1001]
    assert rest.items.tolist() == [2, 3, 2001, 2002, 2003, 2004]
    assert list(rest.users) == ["000", "002"]
    for chosen in (np.array([True, False, True]), np.array([2, 0])):
        assert list(sequences.select(chosen).users) == ["000", "002"]
    assert sequences.positions().tolist() == [0, 1, 2, 0, 0, 1, 2, 3]


# --- windows ----------------------------------------------------------------------------------------------------


def laid_out(
    sequences: Sequences, window: int, first: np.ndarray | None = None
) -> tuple[list[list[int]], list[list[int]]]:
    """Inputs and targets of every window; target 0 where the input is context."""
    windows = training_windows(sequences, window, first)
    rows = list(zip(windows.start.tolist(), windows.length.tolist(), windows.context.tolist(), strict=True))
    items = [sequences.items[start : start + length].tolist() for start, length, _ in rows]
    following = [sequences.items[start + 1 : start + length + 1].tolist() for start, length, _ in rows]
    return items, [[0] * row[2] + goal[row[2] :] for row, goal in zip(rows, following, strict=True)]


def test_windows_by_hand() -> None:
    items, targets = laid_out(of_lengths([9, 1, 3]), 4)
    assert items == [[1, 2, 3, 4], [3, 4, 5, 6], [5, 6, 7, 8], [2001, 2002]]
    assert targets == [[2, 3, 4, 5], [0, 0, 6, 7], [0, 0, 8, 9], [2002, 2003]]


def test_windows_of_nothing() -> None:
    for lengths in ([], [1, 1]):
        assert len(training_windows(of_lengths(lengths), 5)) == 0


@examples(200)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=8), window=st.integers(1, 12), data=st.data(),
    late=st.booleans(),
)  # fmt: skip
def test_every_transition_is_a_target_once(lengths: list[int], window: int, data: st.DataObject, late: bool) -> None:
    sequences = of_lengths(lengths)
    first = np.array([data.draw(st.integers(1, n)) for n in lengths]) if late else None
    items, targets = laid_out(sequences, window, first)
    wanted = [1000 * i + k + 1 for i, n in enumerate(lengths) for k in range(1 if first is None else first[i], n)]
    assert sorted(target for goal in targets for target in goal if target) == sorted(wanted)
    for filled, goal in zip(items, targets, strict=True):
        assert 1 <= len(filled) <= window
        assert filled == list(range(filled[0], filled[0] + len(filled)))  # one user, consecutive events
        places = [place for place, target in enumerate(goal) if target]
        assert places == list(range(places[0], len(filled)))  # targets end with the inputs, without gaps
        assert all(goal[place] == filled[place] + 1 for place in places)
        before = filled[places[0]] % 1000 - 1  # events of the user before the first target's input
        begins = 1 if first is None else first[filled[0] // 1000]
        if goal[places[0]] % 1000 - 1 > begins or begins > 1:  # not a user's first window: half a window of context
            assert places[0] >= min(before, window // 2)


def test_followed_by_joins_users_and_keeps_order_at_equal_times() -> None:
    ids = np.array(["a", "b"], object)
    first = Sequences.build(ids, np.array([0, 0, 1]), np.array([1, 2, 3]), np.array([1, 5, 2]))
    later = Sequences.build(np.array(["b", "c"], object), np.array([0, 1]), np.array([4, 5]), np.array([2, 9]))
    both = first.followed_by(later)
    assert list(both.users) == ["a", "b", "c"]
    assert [both.of(place)[0].tolist() for place in range(3)] == [[1, 2], [3, 4], [5]]
