# SPDX-License-Identifier: Apache-2.0
"""Lists over an item table: what they find is what they promise, on tables that suit them and on ones that do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pocketrec.device.base.errors import BundleError
from pocketrec.device.contract.lists import Lists, parse_lists
from pocketrec.device.contract.retrieval import TablePlace
from pocketrec.device.engine.list_scan import best_of_lists
from pocketrec.device.engine.retrieve import ItemScan
from pocketrec.export import lists as building
from pocketrec.export.lists import TOP, build_lists, list_count, try_lists
from pocketrec.export.tables.quantise import quantise

SIZE = 8


def table_of(kind: str, items: int = 2000) -> np.ndarray:
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(items, SIZE))
    if kind == "clustered":
        rows = 0.2 * rows + 2 * rng.normal(size=(25, SIZE))[rng.integers(0, 25, items)]
    if kind == "one huge norm":
        rows[7] *= 50
    return np.concatenate([np.zeros((1, SIZE)), rows]).astype(np.float32)


def stored(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    made = quantise(table, 8, axis=1)
    assert made.scales is not None
    return made.numbers, made.scales


def scan_of(folder: Path, numbers: np.ndarray, scales: np.ndarray) -> ItemScan:
    (folder / "model.tflite").write_bytes(numbers.tobytes() + bytes(-numbers.nbytes % 4) + scales.tobytes())
    return ItemScan(folder / "model.tflite", TablePlace(0, *numbers.shape, numbers.nbytes + -numbers.nbytes % 4))


@pytest.mark.parametrize("copied", [True, False])
@pytest.mark.parametrize("kind", ["clustered", "isotropic", "one huge norm"])
def test_lists_find_what_was_promised_for_this_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, copied: bool
) -> None:
    monkeypatch.setattr(building, "_COPIED", 10**9 if copied else 0)
    monkeypatch.setattr(building, "_WORTH", 2.0)  # ship them whatever they cost
    numbers, scales = stored(table_of(kind))
    users = table_of(kind)[np.random.default_rng(3).integers(1, 2001, (40, 4))].mean(axis=1)
    tried = try_lists(numbers, scales, users, 0.9, 45, seed=1)
    assert tried.lists is not None
    lists, scan = parse_lists(tried.lists.dump(), 2000, SIZE), scan_of(tmp_path, numbers, scales)
    assert (lists.numbers is not None) == copied
    exact = scan.embeddings(np.arange(1, 2001)) @ users.T
    recall = []
    for user, scores in zip(users, exact.T, strict=True):
        rows, values = best_of_lists(lists, scan, user, TOP, tried.probes)
        assert len(set(rows.tolist())) == TOP
        np.testing.assert_allclose(values, scores[rows - 1], rtol=1e-4, atol=1e-4)
        assert (np.diff(values) <= 0).all()
        recall.append(len(np.intersect1d(rows, np.argsort(-scores, kind="stable")[:TOP] + 1)) / TOP)
    assert np.mean(recall) == pytest.approx(tried.recall, abs=0.005)
    assert tried.recall >= 0.9
    everything = best_of_lists(lists, scan, users[0], 2000, 45)[0]
    np.testing.assert_array_equal(everything, scan.best(users[0], 2000)[0])


def test_lists_are_shipped_where_the_table_is_clustered_and_refused_with_the_reason_elsewhere() -> None:
    for kind, shipped in (("clustered", True), ("isotropic", False)):
        table = table_of(kind)
        users = table[1:41] if shipped else np.random.default_rng(5).normal(size=(40, SIZE)).astype(np.float32)
        tried = try_lists(*stored(table), users, 0.98, 45, seed=1)
        assert (tried.lists is not None) == shipped, tried.reason
        assert "of 45 lists find" in tried.reason
        assert ("there is no index" in tried.reason) != shipped


@pytest.mark.parametrize(("items", "count"), [(1, 1), (3, 3), (40, 40), (200, 2)])
def test_few_items_empty_lists_and_more_items_wanted_than_a_list_has(tmp_path: Path, items: int, count: int) -> None:
    table = table_of("isotropic", items)
    table[1:] = table[1]  # all in one list, the others stay empty
    numbers, scales = stored(table)
    lists = parse_lists(build_lists(numbers, scales, count, 1).dump(), items, SIZE)
    scan = scan_of(tmp_path, numbers, scales)
    found = best_of_lists(lists, scan, table[1], 500, count)[0]
    np.testing.assert_array_equal(found, np.arange(1, items + 1))
    assert list_count(items, 0) <= max(1, items)


def test_equal_calls_give_equal_files() -> None:
    numbers, scales = stored(table_of("clustered"))
    assert build_lists(numbers, scales, 45, 7).dump() == build_lists(numbers, scales, 45, 7).dump()


@pytest.fixture(scope="module")
def small() -> Lists:
    return build_lists(*stored(table_of("clustered", 60)), 9, 1)


def test_a_file_damaged_in_a_thousand_ways_is_one_line_or_still_lists(small: Lists) -> None:
    """Bytes changed, cut, added, swapped: refused, or every item is still in one list, so that search goes on."""
    content, rng = small.dump(), np.random.default_rng(1)
    user, refused = np.ones(SIZE, np.float32), []
    for turn in range(1000):
        damaged = bytearray(content)
        way = turn % 4
        if way == 0:
            damaged[rng.integers(len(damaged))] ^= 1 << rng.integers(8)
        elif way == 1:
            del damaged[rng.integers(len(damaged)) :]
        elif way == 2:
            damaged += rng.bytes(int(rng.integers(1, 9)))
        else:
            at = int(rng.integers(len(damaged) - 8))
            damaged[at : at + 8] = rng.bytes(8)
        try:
            lists = parse_lists(bytes(damaged), 60, SIZE)
        except BundleError as error:
            refused.append(str(error))
            continue
        rows, _ = best_of_lists(lists, None, user, 60, 9)  # type: ignore[arg-type]
        assert sorted(rows.tolist()) == sorted(set(rows.tolist()))
        assert all(1 <= row <= 60 for row in rows)
    assert len(refused) > 500
    assert all("\n" not in line and line.startswith("index/lists.bin cannot be used") for line in refused)
