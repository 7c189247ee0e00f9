# SPDX-License-Identifier: Apache-2.0
"""What is read off a log without a configuration: made-up shops, sessions, orders, and what has to be asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import shops

from pocketrec.cloud.config.load import config_from_dict
from pocketrec.cloud.config.presets import FULL_SOFTMAX, PRESETS, presets_for
from pocketrec.cloud.data.detect import FRESH, REPEATS, SESSIONS, detect
from pocketrec.device.base.errors import DataError


def _write(path: Path, head: str, rows: list[tuple[object, ...]]) -> Path:
    path.write_text("\n".join([head, *(",".join(map(str, row)) for row in rows)]) + "\n", encoding="utf-8")
    return path


def _visits(users: int, days: int, *, again: bool = True, begin: int = 1_700_000_000) -> list[tuple[int, int, int]]:
    """Rows (user, item, Unix time): everybody comes each day, to one of five own items or to a new one."""
    return [(user, 100 + user * 50 + (day % 5 if again else day), begin + day * 86_400 + user)
            for day in range(days) for user in range(users)]  # fmt: skip


@pytest.mark.parametrize(("shop", "kind", "masked"), [("staples", REPEATS, False), ("fashion", FRESH, True)])
def test_made_up_shops(shop: str, kind: str, masked: bool, tmp_path: Path) -> None:
    path = tmp_path / "clicks.csv"
    shops.write(path, shops.SHOPS[shop](3, users=150, products=200, events=2_500))
    found = detect(path, {})
    assert found.kind == kind
    assert found.tables == {
        "data": {"path": str(path), "user": "customer", "item": "product", "timestamp": "when", "category": "category"},
        "split": {}, "evaluate": {"mask_seen": masked}}  # fmt: skip
    config_from_dict(found.tables)
    assert "customer is the user, product the item, when the time, category the category" in found.lines[0]
    assert "times are Unix seconds" in found.lines[1]


def test_ids_that_never_come_back_are_sessions(tmp_path: Path) -> None:
    rows = [(number, item, 1_700_000_000_000 + number * 600_000 + item * 1000)
            for number in range(200) for item in range(3)]  # fmt: skip
    found = detect(_write(tmp_path / "a.csv", "user_id,sku,ts", rows), {})
    assert (found.kind, found.tables["split"]) == (SESSIONS, {"kind": "sessions"})
    assert "times are Unix milliseconds" in found.lines[1]
    assert "200 sessions" in found.lines[1]


def test_a_session_column_is_taken_where_no_user_is(tmp_path: Path) -> None:
    rows = [(number, item, 1_700_000_000 + number * 600 + item) for number in range(100) for item in range(3)]
    found = detect(_write(tmp_path / "a.csv", "session_id;item;time".replace(";", ","), rows), {})
    assert found.tables["data"]["user"] == "session_id"
    assert found.kind == SESSIONS


def test_a_log_with_its_own_split_of_sessions_keeps_it(tmp_path: Path) -> None:
    rows = [(n, i, 1_700_000_000 + n * 600 + i, "test" if n >= 80 else "train") for n in range(100) for i in range(3)]
    found = detect(_write(tmp_path / "a.csv", "session,item,time,split", rows), {})
    assert found.tables["split"] == {"kind": "column", "column": "split", "test_values": ["test"], "anonymous": True}


def test_times_that_begin_anew_with_each_user_cut_each_user(tmp_path: Path) -> None:
    rows = [(user, user * 50 + place, place) for user in range(40) for place in range(30)]
    found = detect(_write(tmp_path / "a.csv", "user,item,timestamp", rows), {})
    assert found.tables["split"] == {"kind": "per_user"}
    assert "times are an order" in found.lines[1]


def test_what_lies_after_the_cut_off_does_not_count(tmp_path: Path) -> None:
    """Nobody repeats anything but in the last tenth of the time: the future of the run shapes nothing."""
    rows = _visits(20, 30, again=False)
    rows = [(user, 100 + user * 50 if day >= 27 else item, at) for (user, item, at) in rows
            for day in [(at - 1_700_000_000) // 86_400]]  # fmt: skip
    assert detect(_write(tmp_path / "a.csv", "user,item,timestamp", rows), {}).kind == FRESH


@pytest.mark.parametrize(("head", "words"), [
    ("visitor,customer_id,item,time", "several columns that could be the user (visitor, customer_id): say which with "
                                      "--set data.user=COLUMN"),
    ("user,product_id,sku,time", "several columns that could be the item (product_id, sku)"),
    ("user,item,price,quantity", "no column that is called like the time"),
    ("a,b,c,d", "no column that is called like the user (its columns: a, b, c, d)"),
])  # fmt: skip
def test_what_is_open_is_asked_in_one_line(head: str, words: str, tmp_path: Path) -> None:
    path = _write(tmp_path / "a.csv", head, [(1, 2, 3, 4)])
    with pytest.raises(DataError) as refused:
        detect(path, {})
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_is_given_is_not_asked(tmp_path: Path) -> None:
    rows = [(user, user + 1000, item, at) for user, item, at in _visits(20, 30)]
    path = _write(tmp_path / "a.csv", "visitor,customer_id,item,moment", rows)
    found = detect(path, {"user": "customer_id", "timestamp": "moment"})
    assert found.tables["data"] == {"path": str(path), "user": "customer_id", "item": "item", "timestamp": "moment"}
    assert found.kind == REPEATS


def test_rows_in_the_order_of_time_need_no_column_of_times(tmp_path: Path) -> None:
    rows = [(user, item) for user, item, _ in _visits(20, 30)]
    path = _write(tmp_path / "a.csv", "user,item", rows)
    with pytest.raises(DataError, match=r"or --set data\.timestamp= where the rows are in the order of time"):
        detect(path, {})
    found = detect(path, {"timestamp": ""})
    assert (found.tables["data"]["timestamp"], found.tables["split"]) == ("", {})
    assert "the order of the rows the time" in found.lines[0]


def test_a_publisher_s_file_without_a_header_and_parquet(tmp_path: Path) -> None:
    rows = [(user, item, 7, "pv", at) for user, item, at in _visits(20, 30)]
    (tmp_path / "a.csv").write_text("\n".join(",".join(map(str, row)) for row in rows) + "\n", encoding="utf-8")
    found = detect(tmp_path / "a.csv", {})
    assert found.tables["data"] == {"path": str(tmp_path / "a.csv"), "user": "user", "item": "item",
                                    "timestamp": "timestamp", "category": "category"}  # fmt: skip
    frame = pd.DataFrame(_visits(20, 30), columns=["Customer ID", "SKU", "created_at"])
    frame["created_at"] = pd.to_datetime(frame["created_at"], unit="s")
    frame.to_parquet(tmp_path / "a.parquet")
    found = detect(tmp_path / "a.parquet", {})
    assert found.kind == REPEATS
    assert found.tables["data"]["user"] == "Customer ID"
    assert "times are Unix seconds" in found.lines[1]


def test_every_preset_is_a_configuration_and_large_logs_take_other_values() -> None:
    for kind in PRESETS:
        for tables in [*presets_for(kind, 2_000, 60_000).values(), *presets_for(kind, 500_000, 30_000_000).values()]:
            config_from_dict(tables)
        small, large = (presets_for(kind, *size) for size in ((2_000, 60_000), (FULL_SOFTMAX + 1, 8_000_000)))
        for name in small:
            assert small[name] == PRESETS[kind][name]
            assert large[name]["train"]["loss"] == "sampled_softmax"
            assert large[name]["train"]["batch"] > small[name]["train"]["batch"]


def test_the_shops_are_what_they_say() -> None:
    rows = shops.staples(1, users=150, products=200, events=3_000)
    assert len(rows) == 3_000
    assert rows == shops.staples(1, users=150, products=200, events=3_000)
    pairs = [(customer, product) for customer, product, _, _ in rows]
    assert 1 - len(set(pairs)) / len(pairs) > 0.2
    worn = [(customer, product) for customer, product, _, _ in shops.fashion(1, users=150, products=200, events=2_000)]
    assert len(set(worn)) == len(worn) > 1_500
    assert np.all(np.diff([at for _, _, at, _ in rows]) >= 0)
