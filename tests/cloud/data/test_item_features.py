# SPDX-License-Identifier: Apache-2.0
"""The table of ``[items]``: what is read, what becomes of it, and one line for whatever is wrong with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pocketrec.cloud.config.data import DataConfig
from pocketrec.cloud.config.items import ItemsConfig
from pocketrec.cloud.config.load import config_from_dict
from pocketrec.cloud.data.item_features import ItemFeatures, describe, feature_space, features_of_vocabulary
from pocketrec.cloud.data.item_table import ItemRows, find_items, read_items
from pocketrec.cloud.data.prepared import load_cloud, load_titles, prepare
from pocketrec.device.base.errors import ConfigError, DataError

CONFIG = ItemsConfig(path="items.csv", title="name", categories=["genres", "land"], numbers=["year"])
TEXT = (
    "item,name,genres,land,year\n1,One,Drama|Comedy,fr,1990\n2,Two,Drama,,\n"
    '3,"Three, the sequel",Horror,us,2000\n4,Four,Drama|Drama,fr,2090\n'
)


def table(folder: Path, text: str = TEXT) -> ItemRows:
    (folder / "items.csv").write_text(text, encoding="utf-8")
    return read_items(folder / "items.csv", CONFIG)


def test_what_a_file_says_of_items(tmp_path: Path) -> None:
    rows = table(tmp_path)
    assert rows.ids == ["1", "2", "3", "4"]
    assert rows.titles[2] == "Three, the sequel"
    assert rows.categories["genres"] == [["Drama", "Comedy"], ["Drama"], ["Horror"], ["Drama"]]
    assert rows.categories["land"] == [["fr"], [], ["us"], ["fr"]]
    np.testing.assert_array_equal(rows.numbers["year"], [1990, np.nan, 2000, 2090])


def test_csv_tsv_and_parquet_say_the_same(tmp_path: Path) -> None:
    expected = table(tmp_path)
    frame = pd.read_csv(tmp_path / "items.csv")
    frame.to_csv(tmp_path / "items.tsv", sep="\t", index=False)
    frame.to_parquet(tmp_path / "items.parquet")
    frame.to_csv(tmp_path / "items.csv.gz", index=False)
    for name in ("items.tsv", "items.parquet", "items.csv.gz"):
        found = read_items(tmp_path / name, CONFIG)
        assert (found.ids, found.titles, found.categories) == (expected.ids, expected.titles, expected.categories)
        np.testing.assert_array_equal(found.numbers["year"], expected.numbers["year"])


def test_statistics_are_of_items_with_an_event_before_the_cut_alone(tmp_path: Path) -> None:
    """Item 4 of year 2090, item 3 of the genre Horror: as if they were not there, however they are described."""
    space = feature_space(table(tmp_path), {"1", "2"})
    assert list(space.values) == ["genres=Comedy", "genres=Drama", "land=fr"]
    assert space.mean.tolist() == [1990]
    other = TEXT.replace("2090", "1").replace("Horror", "Western")
    again = feature_space(table(tmp_path, other), {"1", "2"})
    assert (list(again.values), again.mean.tolist()) == (list(space.values), space.mean.tolist())


def test_features_of_a_vocabulary_are_in_the_order_of_its_rows(tmp_path: Path) -> None:
    found = features_of_vocabulary(table(tmp_path), ["3", "1", "none", "2"])
    values = list(found.space.values)
    assert values == ["genres=Comedy", "genres=Drama", "genres=Horror", "land=fr", "land=us"]
    assert [sorted(v for v in row if v) for row in found.values.tolist()] == [[], [3, 5], [1, 2, 4], [], [2]]
    np.testing.assert_allclose(found.numbers, [[0, 0], [1, 0], [-1, 0], [0, 1], [0, 1]])  # 1990 and 2000
    assert found.known().tolist() == [True, True, True, False, True]
    np.testing.assert_allclose(found.dense()[1], [0, 0, 1, 0, 1, 1, 0])


def test_new_items_are_described_in_the_same_terms(tmp_path: Path) -> None:
    rows = table(tmp_path)
    space = feature_space(rows, {"1", "3"})
    found = describe(rows, space, ["4", "2"])
    assert [space.values[v - 1] for v in found.values[0] if v] == ["genres=Drama", "land=fr"]
    assert found.numbers[0].tolist() == [4.0, 0.0], "2090 is cut off at four deviations"
    assert found.numbers[1].tolist() == [0.0, 1.0]


def test_features_survive_the_file(tmp_path: Path) -> None:
    found = features_of_vocabulary(table(tmp_path), ["3", "1", "2"])
    found.save(tmp_path / "f.npz")
    again = ItemFeatures.load(tmp_path / "f.npz")
    assert list(again.space.values) == list(found.space.values)
    assert list(again.space.numbers) == ["year"]
    for name in ("values", "numbers"):
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))
    (tmp_path / "f.npz").write_bytes(b"x")
    with pytest.raises(DataError, match="run `pocketrec prepare` again"):
        ItemFeatures.load(tmp_path / "f.npz")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (TEXT.replace("2,Two", "1,Two"), r"item 1 is in lines 2 and 3"),
        (TEXT.replace("2,Two", ",Two"), r"the item id in line 3 is empty"),
        (TEXT.replace("1990", "old"), r"year in line 2 is 'old', which is not a number"),
        (TEXT.replace("1990", "inf"), r"year in line 2 is 'inf', which is not a number"),
        (TEXT.replace("genres", "kinds"), r"has no column 'genres' \(it has item, name, kinds, land, year\)"),
        ("item,name,genres,land,year\n", r"has no row"),
        ("", r"cannot read .*items.csv: No columns to parse from file"),
        ('item,name\n1,"x\n', r"cannot read"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        table(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_a_damaged_parquet_and_a_missing_file_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "items.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match="cannot read"):
        read_items(tmp_path / "items.parquet", CONFIG)
    with pytest.raises(DataError, match=r"no file .*nowhere.csv: correct items.path"):
        find_items(ItemsConfig(path="nowhere.csv", categories=["c"]), DataConfig(set="synthetic"))


@pytest.mark.parametrize(
    ("items", "says"),
    [
        ({"path": "x.csv"}, "name columns in title, categories or numbers"),
        ({"path": "x.csv", "categories": ["a", "a"]}, "a column is named twice"),
        ({"path": "x.csv", "item": "", "numbers": ["a"]}, "item names the column"),
    ],
)
def test_a_wrong_table_is_refused(items: dict, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        config_from_dict({"items": items})


def test_content_without_a_table_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"content = true wants a table of items"):
        config_from_dict({"model": {"content": True}})


def test_prepare_keeps_the_features_beside_the_vocabulary(tmp_path: Path) -> None:
    log = "user,item,timestamp\n" + "".join(f"u{u},{i},{t}\n" for t, (u, i) in enumerate([(1, 1), (2, 2), (1, 2),
          (2, 1), (1, 1), (2, 2), (1, 3), (2, 2), (1, 1), (2, 1)]))  # fmt: skip
    (tmp_path / "log.csv").write_text(log, encoding="utf-8")
    (tmp_path / "items.csv").write_text(TEXT, encoding="utf-8")
    tables = {"data": {"path": str(tmp_path / "log.csv")}, "split": {"quantile": 0.6},
              "items": {"path": str(tmp_path / "items.csv"), "categories": ["genres"],
                        "numbers": ["year"]}}  # fmt: skip
    prepare(config_from_dict(tables), tmp_path / "run")
    data = load_cloud(tmp_path / "run")
    assert data.vocabulary.ids == ["1", "2"], "item 3 comes after the cut"
    assert data.features is not None
    assert list(data.features.space.values) == ["genres=Comedy", "genres=Drama"], "and so does Horror"
    assert data.features.space.mean.tolist() == [1990]
    assert data.item_categories is not None
    assert data.item_categories.tolist() == [0, 2, 2], "the first that an item names"
    tables["items"]["categories"] = []
    prepare(config_from_dict(tables), tmp_path / "run")
    assert load_cloud(tmp_path / "run").item_categories is None, "numbers alone are no category"
    del tables["items"]
    prepare(config_from_dict(tables), tmp_path / "run")
    assert load_cloud(tmp_path / "run").features is None
    tables["items"] = {"path": str(tmp_path / "log.csv"), "item": "user", "categories": ["item"]}
    with pytest.raises(DataError, match="is in lines 2 and 4"):
        prepare(config_from_dict(tables), tmp_path / "run")


def test_titles_lie_beside_the_items_by_row(tmp_path: Path) -> None:
    (tmp_path / "clicks.csv").write_text("user,item,timestamp\n" + "".join(
        f"u{user},{item},{time}\n" for user in range(4) for time, item in enumerate((2, 2, 1, 5, 2, 1))
    ), encoding="utf-8")  # fmt: skip
    (tmp_path / "items.csv").write_text(TEXT, encoding="utf-8")
    items = {"path": str(tmp_path / "items.csv"), "title": "name"}
    values = {"data": {"path": str(tmp_path / "clicks.csv")}, "items": items, "split": {"kind": "per_user"}}
    prepare(config_from_dict(values), tmp_path / "run")
    assert load_cloud(tmp_path / "run").vocabulary.ids == ["2", "1", "5"]
    assert load_titles(tmp_path / "run") == ["Two", "One", ""]
    assert load_cloud(tmp_path / "run").features is None
    prepare(config_from_dict({**values, "items": {}}), tmp_path / "run")
    assert load_titles(tmp_path / "run") == []


def test_content_wants_more_than_titles() -> None:
    with pytest.raises(ConfigError, match=r"name columns in items\.categories"):
        config_from_dict({"items": {"path": "items.csv", "title": "name"}, "model": {"content": True}})
