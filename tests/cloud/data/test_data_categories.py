# SPDX-License-Identifier: Apache-2.0
"""Categories of items: which one an item has, and the file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from pocketrec.cloud.config.data import DataConfig
from pocketrec.cloud.config.run import RunConfig
from pocketrec.cloud.config.split import SplitConfig
from pocketrec.cloud.data.categories import Categories, build_categories
from pocketrec.cloud.data.prepared import load_cloud, prepare
from pocketrec.device.base.errors import ConfigError, DataError

IDS = np.array(["b", "", "a", "unused", "é"], dtype=object)
events = st.lists(st.tuples(st.integers(0, 4), st.integers(-1, 4).filter(lambda c: c != 3), st.integers(0, 9)))


@examples(200)
@given(log=events)
def test_against_plain_python(log: list[tuple[int, int, int]]) -> None:
    rows, codes, times = (np.array(column, np.int64) for column in zip(*log, strict=True)) if log else (
        np.zeros(0, np.int64),) * 3  # fmt: skip
    counts = np.bincount(rows, minlength=5)
    counts[0] = 0
    found = build_categories(IDS, codes, rows.astype(np.int32), times, counts)
    chosen: dict[int, str] = {}
    for row in range(1, 5):
        mine = [(IDS[c], t) for r, c, t in log if r == row and c >= 0 and IDS[c]]
        number, first = Counter(name for name, _ in mine), {n: min(t for m, t in mine if m == n) for n, _ in mine}
        if mine:
            chosen[row] = min(number, key=lambda name: (-number[name], first[name], name))
    weight = Counter({name: sum(int(counts[r]) for r, n in chosen.items() if n == name) for name in chosen.values()})
    assert found.ids.tolist() == sorted(weight, key=lambda name: (-weight[name], name))
    assert [None if c == 0 else found.ids[c - 1] for c in found.of_row] == [chosen.get(row) for row in range(5)]
    assert found.of_row.dtype == np.int32


LOG = "7,11,3,pv,100\n7,12,4,pv,101\n8,12,5,pv,102\n8,12,4,buy,103\n9,13,,pv,104\n9,12,5,pv,200\n9,12,5,pv,201\n"


def run(folder: Path, log: str = LOG, **options: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "UserBehavior.csv").write_text(log, encoding="utf-8")
    data = DataConfig(path=str(folder / "UserBehavior.csv"), **options)  # type: ignore[arg-type]
    prepare(RunConfig(data=data, split=SplitConfig(kind="time", time="200")), folder)
    return folder


def test_prepare_keeps_the_category_of_each_row(tmp_path: Path) -> None:
    data = load_cloud(run(tmp_path, category="category"))
    assert data.vocabulary.ids == ["12", "11", "13"]
    assert data.categories is not None
    assert data.categories.ids.tolist() == ["4", "3"]  # 5 would win with the later events
    assert data.categories.of_row.tolist() == [0, 1, 2, 0]


def test_no_categories_where_none_are_asked_for(tmp_path: Path) -> None:
    run(tmp_path, category="category")
    data = load_cloud(run(tmp_path))
    assert data.categories is None
    assert not (tmp_path / "data" / "cloud" / "categories.npz").exists()


def test_the_item_may_be_the_category(tmp_path: Path) -> None:
    data = load_cloud(run(tmp_path, LOG.replace(",,", ",6,"), item="category", category="category"))
    assert data.categories is not None
    assert data.categories.ids.tolist() == data.vocabulary.ids


def test_synthetic_log_has_categories() -> None:
    from pocketrec.cloud.data.readers import read_log

    log = read_log(DataConfig(set="synthetic", category="category"))
    assert log.categories is not None
    assert len(log.categories.codes) == len(log)
    assert read_log(DataConfig(set="synthetic")).categories is None
    with pytest.raises(ConfigError, match=r"no column 'kind': set data\.category"):
        read_log(DataConfig(set="synthetic", category="kind"))


def test_missing_column_and_damaged_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no column 'kind' .*: set data\.category"):
        run(tmp_path, category="kind")
    path = tmp_path / "c.npz"
    with pytest.raises(DataError, match="run `pocketrec prepare` first"):
        Categories.load(path)
    Categories(IDS[[0, 2]], np.array([0, 1, 2], np.int32)).save(path)
    assert Categories.load(path).ids.tolist() == ["b", "a"]
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DataError, match="run `pocketrec prepare` again"):
        Categories.load(path)
    Categories(IDS[[0, 2]], np.array([0, 1, 3], np.int32)).save(path)
    with pytest.raises(DataError, match="does not fit together: run `pocketrec prepare` again"):
        Categories.load(path)
