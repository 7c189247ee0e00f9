# SPDX-License-Identifier: Apache-2.0
"""Parquet: values are what their types say, exactly; what is not an id or time is refused by name."""

from __future__ import annotations

import datetime
import decimal
from pathlib import Path
from typing import Any

import pytest
from case_logs import events

from pocketrec.cloud.config.data import DataConfig
from pocketrec.cloud.data.location import log_identity
from pocketrec.cloud.data.log import Log
from pocketrec.cloud.data.readers import read_log
from pocketrec.device.base.errors import DataError

pa = pytest.importorskip("pyarrow", exc_type=ImportError)
pq = pytest.importorskip("pyarrow.parquet", exc_type=ImportError)

LARGE = 9_148_955_329_465_707_521
USERS, ITEMS, TIMES = [1, 2, 1, 2], ["a", "b", "c", "d"], [10, 20, 30, 40]


def read(folder: Path, path: Path | None = None, **columns: Any) -> Log:
    whole = {"user": USERS, "item": ITEMS, "timestamp": TIMES, **columns}
    if path is None:
        path = folder / "log.parquet"
        pq.write_table(pa.table(whole), path)
    return read_log(DataConfig(path=str(path), max_bad_share=0.9))


@pytest.mark.parametrize("column", ["user", "item"])
def test_whole_numbers_stay_exact_beside_nulls(tmp_path: Path, column: str) -> None:
    log = read(tmp_path, **{column: pa.array([LARGE, None, LARGE + 1, LARGE + 2])})
    found = {row[0 if column == "user" else 1] for row in events(log)}
    assert found == {str(LARGE), str(LARGE + 1), str(LARGE + 2)}
    assert (log.report.bad, log.report.bad_lines) == (1, [2])


def test_times_stay_exact_beside_nulls(tmp_path: Path) -> None:
    log = read(tmp_path, timestamp=pa.array([LARGE, None, LARGE + 1, LARGE + 2]))
    assert log.timestamps.tolist() == [LARGE, LARGE + 1, LARGE + 2]
    stamps = pa.array([1_600_000_000_123_456_789, None, 1_600_000_000_000_000_000, 5], pa.timestamp("ns"))
    seconds = read(tmp_path, timestamp=stamps).timestamps.tolist()
    assert seconds == pytest.approx([1_600_000_000.123456789, 1_600_000_000.0, 5e-9])


def test_times_in_text_stay_exact_beside_empty_ones(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(f"user,item,timestamp\na,b,{LARGE}\na,c,\na,d,{LARGE + 1}\n")
    assert read(tmp_path, path).timestamps.tolist() == [LARGE, LARGE + 1]


TYPES = {
    "uint64": pa.array([2**64 - 1, 2, 3, 4], pa.uint64()),
    "int8": pa.array([-1, 2, 3, 4], pa.int8()),
    "doubles that are whole": pa.array([1.0, 2.0, None, 4.0]),
    "doubles": pa.array([1.5, 2.0, float("nan"), 4.0]),
    "decimal": pa.array([decimal.Decimal(n) for n in (1, 2, 3, 4)], pa.decimal128(20, 0)),
    "large string": pa.array(["é", "b", "c", "d"], pa.large_string()),
    "dictionary": pa.array(["x", "y", "x", None]).dictionary_encode(),
    "bytes that are text": pa.array([b"x", b"y", "é".encode(), b"z"], pa.binary()),
    "fixed bytes that are text": pa.array([b"xx", b"yy", b"zz", b"aa"], pa.binary(2)),
    "bool": pa.array([True, False, True, None]),
    "day": pa.array([datetime.date(2020, 9, 13)] * 4),
}
IDS = {
    "uint64": ["18446744073709551615", "2", "3", "4"], "int8": ["-1", "2", "3", "4"],
    "doubles that are whole": ["1", "2", "4"], "doubles": ["1.5", "2.0", "4.0"], "decimal": ["1", "2", "3", "4"],
    "large string": ["é", "b", "c", "d"], "dictionary": ["x", "y", "x"], "bytes that are text": ["x", "y", "é", "z"],
    "fixed bytes that are text": ["xx", "yy", "zz", "aa"], "bool": ["True", "False", "True"], "day": ["2020-09-13"] * 4,
}  # fmt: skip


@pytest.mark.parametrize("kind", TYPES)
def test_ids_of_every_type(tmp_path: Path, kind: str) -> None:
    log = read(tmp_path, item=TYPES[kind])
    assert [item for _, item, _ in events(log)] == IDS[kind]
    assert log.report.bad == 4 - len(IDS[kind])


WRONG = {
    "lists": ("item", pa.array([[1], [2], [3], [4]]), "column item holds lists: give the file one row for each event"),
    "large lists": ("user", pa.array([[1], [2], [3], [4]], pa.large_list(pa.int64())), "column user holds lists"),
    "structures": ("item", pa.array([{"a": 1}] * 4), "column item is of type struct.*: make it text"),
    "maps": ("item", pa.array([[("a", 1)]] * 4, pa.map_(pa.string(), pa.int64())), "column item is of type map"),
    "doubles too large": ("item", pa.array([float(LARGE), None, 1.0, 2.0]), r"above 2\^53.*no longer exact: write it"),
    "time is a list": ("timestamp", pa.array([[1]] * 4), "column timestamp is of type list.*cannot be a time"),
    "time of day": ("timestamp", pa.array([1, 2, 3, 4], pa.time32("s")), "cannot be a time: make it"),
    "duration": ("timestamp", pa.array([1, 2, 3, 4], pa.duration("s")), "cannot be a time: make it"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_id_or_time_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    column, values, words = WRONG[kind]
    with pytest.raises(DataError, match=words):
        read(tmp_path, **{column: values})


def test_bytes_that_are_no_text_are_bad_rows_with_the_reason(tmp_path: Path) -> None:
    log = read(tmp_path, item=pa.array([b"x", b"\xff\xfe", b"y", b"\x80"], pa.binary()))
    (reason,) = log.report.details.bad
    assert (reason.column, reason.why, reason.lines) == ("item", "is not UTF-8 text", [2, 4])
    with pytest.raises(DataError, match=r"4 of 4 rows .*item .* is not UTF-8 text"):
        read(tmp_path, item=pa.array([b"\xff\xfe"] * 4, pa.binary()))


def test_a_nul_in_a_text_is_a_bad_row(tmp_path: Path) -> None:
    log = read(tmp_path, item=["a\0b", "b", "c\nd", "d"])
    assert [(reason.why, reason.lines) for reason in log.report.details.bad] == [
        ("holds a NUL byte", [1]), ("has a line break in it", [3])]  # fmt: skip


@pytest.mark.parametrize("names", [["user"], ["user", "timestamp"]])
def test_the_index_of_pandas_is_a_column(tmp_path: Path, names: list[str]) -> None:
    import pandas as pd

    frame = pd.DataFrame({"user": USERS, "item": ITEMS, "timestamp": TIMES}).set_index(names)
    frame.to_parquet(tmp_path / "log.parquet")
    log = read(tmp_path, tmp_path / "log.parquet")
    assert events(log) == [(str(u), i, t) for u, i, t in zip(USERS, ITEMS, TIMES, strict=True)]


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo"])
def test_times_out_of_range_are_bad_rows(tmp_path: Path, unit: str, zone: str | None) -> None:
    size = {"s": 1, "ms": 10**3, "us": 10**6}[unit]
    stamps = [253_402_214_400 * size, 1_600_000_000 * size, -62_135_596_800 * size, 1_600_000_001 * size]
    log = read(tmp_path, timestamp=pa.array(stamps, pa.timestamp(unit, zone)))
    assert log.timestamps.tolist() == [1_600_000_000, 1_600_000_001]
    (reason,) = log.report.details.bad
    assert (reason.lines, reason.value) == ([1, 3], "9999-12-31T00:00:00")
    assert "is not a day of the calendar from 1677" in reason.why


def test_times_of_other_types(tmp_path: Path) -> None:
    days = [datetime.date(2020, 9, 13), None, datetime.date(9999, 1, 1), datetime.date(2020, 9, 14)]
    for kind in (pa.date32(), pa.date64()):
        log = read(tmp_path, timestamp=pa.array(days, kind))
        assert log.timestamps.tolist() == [1_599_955_200, 1_600_041_600]
    assert read(tmp_path, timestamp=pa.array([1.5, float("inf"), None, 2.0])).timestamps.tolist() == [1.5, 2.0]
    assert read(tmp_path, timestamp=pa.array(["1", "", "x", None])).timestamps.tolist() == [1]
    text = pa.array(["2020-09-13", "2020/09/13", "2020-09-13 00:00:01 UTC", None])
    assert read(tmp_path, timestamp=text).timestamps.tolist() == [1_599_955_200, 1_599_955_200, 1_599_955_201]
    assert read(tmp_path, timestamp=text.dictionary_encode()).timestamps.tolist()[2] == 1_599_955_201
    exact = pa.array([decimal.Decimal(n) for n in (3, 2, 1, 0)], pa.decimal128(10, 0))
    assert read(tmp_path, timestamp=exact).timestamps.tolist() == [3, 2, 1, 0]


def parts(folder: Path) -> Path:
    """A folder as Hive writes it."""
    for number, day in enumerate(("2020-09-14", "2020-09-13")):
        where = folder / "log" / f"day={day}" / "who=%C3%A9"
        where.mkdir(parents=True)
        pq.write_table(pa.table({"item": [f"i{number}", "x"], "n": [number, 2]}), where / "part-0.parquet")
    (folder / "log" / "_SUCCESS").touch()
    (folder / "log" / ".part.crc").write_bytes(b"PAR1")
    (folder / "log" / "README.txt").write_text("not a part")
    return folder / "log"


def test_a_folder_of_part_files_with_keys_in_their_folders(tmp_path: Path) -> None:
    log = read_log(DataConfig(path=str(parts(tmp_path)), user="who", timestamp="day"))
    first, second = 1_599_955_200, 1_600_041_600
    assert events(log) == [("é", "i1", first), ("é", "x", first), ("é", "i0", second), ("é", "x", second)]


def test_part_files_of_one_log_may_have_other_types(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    pq.write_table(pa.table({"user": USERS, "item": ITEMS, "timestamp": TIMES}), folder / "part-0")
    pq.write_table(pa.table({"user": ["1", None], "item": ["a", "b"], "timestamp": [5, 6]}), folder / "part-1")
    log = read(tmp_path, folder)
    assert len(log) == 5
    assert log.users.values[log.users.codes].tolist() == ["1", "2", "1", "2", "1"]
    assert log.report.bad_lines == [6]
    pq.write_table(pa.table({"user": ["1"], "timestamp": [5]}), folder / "part-2")
    with pytest.raises(DataError, match=r"part-2 has no column 'item', which other files"):
        read(tmp_path, folder)


def test_a_folder_that_changes_is_another_log(tmp_path: Path) -> None:
    config = DataConfig(path=str(parts(tmp_path)), user="who", timestamp="day")
    before = log_identity(config)
    pq.write_table(pa.table({"item": ["new"]}), tmp_path / "log" / "day=2020-09-13" / "part-1.parquet")
    assert log_identity(config) != before


def test_a_folder_without_a_log_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no log in .*empty .*and for Parquet files"):
        read(tmp_path, tmp_path / "empty")


def test_parquet_under_another_format_is_refused_and_the_other_way_round(tmp_path: Path) -> None:
    read(tmp_path)
    with pytest.raises(DataError, match=r"is Parquet and not csv: set data\.format to auto"):
        read_log(DataConfig(path=str(tmp_path / "log.parquet"), format="csv"))
    (tmp_path / "log.csv").write_text("user,item,timestamp\n1,2,3\n")
    with pytest.raises(DataError, match=r"is not Parquet: set data\.format to auto"):
        read_log(DataConfig(path=str(tmp_path / "log.csv"), format="parquet"))
