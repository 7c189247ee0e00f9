# SPDX-License-Identifier: Apache-2.0
"""Reading logs: every form, and everything that can be wrong with one."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from pocketrec.cloud.config.data import DataConfig
from pocketrec.cloud.data import blocks
from pocketrec.cloud.data.location import data_root, find_log
from pocketrec.cloud.data.log import Labels, Log
from pocketrec.cloud.data.readers import count_duplicates, read_log
from pocketrec.device.base.errors import ConfigError, DataError

HEADER = "user,item,timestamp\n"
ANY_SHARE = 0.9  # of bad rows, where a test is not about the share


def read(folder: Path, content: str | bytes, name: str = "log.csv", split: str | None = None, **options: Any) -> Log:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return read_log(DataConfig(path=str(path), **{"max_bad_share": ANY_SHARE, **options}), split)


def texts(labels: Labels | None) -> list[str]:
    assert labels is not None
    return [labels.values[code] for code in labels.codes]


def events(log: Log) -> list[tuple[str, str, float]]:
    return list(zip(texts(log.users), texts(log.items), log.timestamps.tolist(), strict=True))


FORMS = {
    "csv": ("log.csv", HEADER + "7,11,100\n7,12,101\n", {}),
    "csv, other order": ("log.csv", "x,timestamp,item,user\n,100,11,7\n,101,12,7\n", {}),
    "csv, semicolons": ("log.csv", "user;item;timestamp\n7;11;100\n7;12;101\n", {}),
    "csv, column map": ("log.csv", "who,what,when\n7,11,100\n7,12,101\n", {"user": "who", "item": "what",
                                                                         "timestamp": "when"}),
    "csv, CRLF, byte order mark": ("log.csv", "\ufeff" + HEADER.replace("\n", "\r\n") + "7,11,100\r\n7,12,101\r\n", {}),
    "csv, no last line end": ("log.csv", HEADER + "7,11,100\n7,12,101", {}),
    "tsv": ("log.tsv", "user\titem\ttimestamp\n7\t11\t100\n7\t12\t101\n", {}),
    "taobao": ("UserBehavior.csv", "7,11,3,pv,100\n7,12,3,buy,101\n", {}),
    "taobao, byte order mark": ("UserBehavior.csv", "\ufeff7,11,3,pv,100\n7,12,3,buy,101\n", {}),
    "yoochoose": ("yoochoose-clicks.dat", "7,1970-01-01T00:01:40.000Z,11,0\n7,1970-01-01T00:01:41.000Z,12,S\n", {}),
    "movielens ::": ("ratings.dat", "7::11::5::100\n7::12::3::101\n", {}),
    "movielens csv": ("ratings.csv", "userId,movieId,rating,timestamp\n7,11,2.5,100\n7,12,3.0,101\n", {}),
    "ratings without a header": ("ratings.csv", "7,11,5.0,100\n7,12,3.0,101\n", {"format": "ratings"}),
    "movielens u.data": ("u.data", "7\t11\t3\t100\n7\t12\t4\t101\n", {}),
    "inter": ("ml.inter", "user_id:token\titem_id:token\trating:float\ttimestamp:float\n7\t11\t3\t100\n7\t12\t4\t101\n",
              {}),
    "inter, sessions": ("s.inter", "session_id:token\titem_id:token\ttimestamp:float\n7\t11\t100\n7\t12\t101\n", {}),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_every_form_gives_the_same_log(tmp_path: Path, form: str, packed: bool) -> None:
    name, content, options = FORMS[form]
    raw = content.encode()
    log = read(tmp_path, gzip.compress(raw) if packed else raw, name, **options)
    assert events(log) == [("7", "11", 100), ("7", "12", 101)]
    assert log.timestamps.dtype == np.int64
    assert (log.report.rows, log.report.events, log.report.bad) == (2, 2, 0)


def test_ratings_without_a_header_are_told_by_their_first_lines(tmp_path: Path) -> None:
    rows = "A1,B000,5.0,1198195200\nA2,B001,2,1281052800\n"
    assert events(read(tmp_path, rows)) == [("A1", "B000", 1198195200), ("A2", "B001", 1281052800)]
    headed = read(tmp_path, "user,item,rating,timestamp\n" + rows)
    assert (events(headed), headed.report.bad) == (events(read(tmp_path, rows)), 0)


def test_form_is_told_by_content_and_not_by_name(tmp_path: Path) -> None:
    log = read(tmp_path, "7,11,3,pv,100\nx,11,3,pv\n7,12,3,buy,101\n", "export.txt")
    assert events(log) == [("7", "11", 100), ("7", "12", 101)]
    assert log.report.bad_lines == [2]
    with pytest.raises(DataError, match=r"it has x, 11, 3, pv.*later lines look like taobao: data\.format"):
        read(tmp_path, "x,11,3,pv\n7,11,3,pv,100\n7,12,3,buy,101\n", "export.txt")


def test_parquet(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", exc_type=ImportError)
    frame = pd.DataFrame(
        {"user": [7, 7, None], "item": ["a", "b", "c"], "timestamp": pd.to_datetime(["1970-01-02"] * 3), "x": 1}
    )
    frame.to_parquet(tmp_path / "log.parquet")
    log = read_log(DataConfig(path=str(tmp_path / "log.parquet"), max_bad_share=ANY_SHARE))
    assert events(log) == [("7", "a", 86400), ("7", "b", 86400)]
    assert log.report.bad_lines == [3]
    with pytest.raises(DataError, match=r"no column 'uid' \(it has user, item, timestamp, x\): set data\.user"):
        read_log(DataConfig(path=str(tmp_path / "log.parquet"), user="uid"))


def test_category_as_item_and_filter(tmp_path: Path) -> None:
    content = "7,11,3,pv,100\n7,12,4,buy,101\n8,12,4,pv,102\n"
    log = read(tmp_path, content, item="category", keep={"behavior": ["buy"]})
    assert events(log) == [("7", "4", 101)]
    assert (log.report.rows, log.report.events, log.report.filtered) == (3, 1, 2)


def test_a_row_without_the_filtered_value_is_left_out(tmp_path: Path) -> None:
    """A missing value's code is -1, which once picked the column's last value."""
    log = read(tmp_path, "user,item,timestamp,kind\n1,a,1,buy\n1,b,2,\n1,c,3,pv\n", keep={"kind": ["pv"]})
    assert events(log) == [("1", "c", 3)]
    assert log.report.filtered == 2


def test_split_column(tmp_path: Path) -> None:
    log = read(tmp_path, "user,item,timestamp,split\na,x,1,train\na,y,2,test\n", split="split")
    assert texts(log.labels) == ["train", "test"]


def test_ids_are_text_as_written(tmp_path: Path) -> None:
    log = read(tmp_path, HEADER + '007,1.0,1\nNA,null,2\n"a,b","c ""d""",3\né,東 京,4\n')
    assert texts(log.users) == ["007", "NA", "a,b", "é"]
    assert texts(log.items) == ["1.0", "null", 'c "d"', "東 京"]


BAD = {
    "too many fields": ("c,d,2,3\n", [3]),
    "too few fields": ("c\n", [3]),
    "no user": (",d,2\n", [3]),
    "no item": ("c,,2\n", [3]),
    "no time": ("c,d,\n", [3]),
    "time no number": ("c,d,soon\n", [3]),
    "time not finite": ("c,d,nan\nc,d,inf\nc,d,1e999\n", [3, 4, 5]),
    "item of two lines": ('c,"d\ne",2\n', [3]),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_rows_are_counted_and_named_by_line(tmp_path: Path, kind: str) -> None:
    rows, lines = BAD[kind]
    log = read(tmp_path, HEADER + "a,b,1\n" + rows + "e,f,9\n")
    assert events(log) == [("a", "b", 1), ("e", "f", 9)]
    assert log.report.bad_lines == lines
    assert (log.report.bad, log.report.rows) == (len(lines), len(lines) + 2)


def test_ids_that_are_not_utf8_are_bad_rows(tmp_path: Path) -> None:
    log = read(tmp_path, HEADER.encode() + b"a,b,1\n\xff,b,2\na,\xfe\xfd,3\n")
    assert events(log) == [("a", "b", 1)]
    assert log.report.bad_lines == [3, 4]


def test_only_the_first_bad_lines_are_kept(tmp_path: Path) -> None:
    log = read(tmp_path, HEADER + "a,b,x\n" * 50 + "a,b,1\n" * 50)
    assert (log.report.bad, log.report.bad_lines) == (50, [2, 3, 4, 5, 6])


def test_bad_rows_above_the_share_are_fatal(tmp_path: Path) -> None:
    content = HEADER + "a,b,1\n" * 97 + "a,b,x\n" * 3
    assert read(tmp_path, content, max_bad_share=0.03).report.bad == 3
    with pytest.raises(DataError, match=r"3 of 100 rows cannot be read \(lines 99, 100, 101\): .*max_bad_share"):
        read(tmp_path, content, max_bad_share=0.029)


def test_empty_lines_are_nothing(tmp_path: Path) -> None:
    log = read(tmp_path, "\n" + HEADER + "\na,b,1\n\n,,\nc,d,x\n\n")
    assert events(log) == [("a", "b", 1)]
    assert (log.report.rows, log.report.bad, log.report.bad_lines) == (2, 1, [7])


def test_duplicates_are_counted_and_kept(tmp_path: Path) -> None:
    log = read(tmp_path, HEADER + "a,b,1\na,b,1\na,b,2\nc,b,1\n")
    assert (len(log), log.report.duplicates) == (4, 1)


def test_times(tmp_path: Path) -> None:
    cases = {
        "1.5,2": [1.5, 2.0],
        "1700000000123456789,x,1700000000123456790": [1700000000123456789, 1700000000123456790],
        "2020-01-01,2020-01-01T01:00:01+01:00,2020-01-01 00:00:02Z,x": [1577836800, 1577836801, 1577836802],
        "2020-01-01 00:00:00.5,2020-01-01": [1577836800.5, 1577836800.0],
        "20240131,20240201": [20240131, 20240201],
        "-5,7": [-5, 7],
    }
    for times, expected in cases.items():
        log = read(tmp_path, HEADER + "".join(f"a,b,{time}\n" for time in times.split(",")))
        assert log.timestamps.tolist() == expected, times
        assert log.timestamps.dtype == (np.int64 if isinstance(expected[0], int) else np.float64), times

    huge = read(tmp_path, HEADER + "a,b,99999999999999999999\na,b,1\n").timestamps
    assert huge.tolist() == pytest.approx([1e20, 1.0])


REFUSED = {
    "nothing": (b"", r"is empty: name a log"),
    "only line ends": (b"\n \n", r"is empty: name a log"),
    "only a byte order mark": (b"\xef\xbb\xbf\r", r"is empty: name a log"),
    "only a header": (HEADER.encode(), r"has no event: name another"),
    "missing column": (b"uid,item,timestamp\na,b,1\n", r"no column 'user' \(it has uid, item, timestamp\): set"),
    "no header": (b"1,2,3\n4,5,6\n", r"no column 'user' \(it has 1, 2, 3\): .*header line"),
    "two columns of one name": (b"user,user,item,timestamp\na,a,b,1\n", r"two columns of one name .*: rename one"),
    "open quote": (HEADER.encode() + b'a,"b,1\nc,d,2\n', r"line 2 opens a quote that is not closed .*: close it"),
    "cut gzip": (gzip.compress(HEADER.encode() + b"a,b,1\n" * 99_999)[:-30], r"ended before.*: repair or replace"),
    "cut gzip header": (gzip.compress(HEADER.encode())[:15], r"repair or replace"),
    "UTF-16": (HEADER.encode("utf-16"), r"UTF-16: convert it"),
    "binary": (bytes(range(256)) * 9, r"NUL bytes in its first line"),
    "not Parquet": (b"PAR1 or so", r"(repair or replace|needs pyarrow)"),
    "nothing kept": (b"user,item,timestamp,behavior\na,b,1,pv\n", r"no row passes data.keep: change it"),
    "missing filter column": (HEADER.encode() + b"a,b,1\n", r"no column 'behavior' .*: set data.keep"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    content, message = REFUSED[kind]
    keep = {"behavior": ["buy"]} if kind in ("nothing kept", "missing filter column") else {}
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, content, keep=keep)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_unknown_format_and_missing_split_column(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'xls' is not one of auto, csv"):
        DataConfig(path="log.csv", format="xls")
    with pytest.raises(DataError, match=r"no column 'split' .*: set split\.column"):
        read(tmp_path, HEADER + "a,b,1\n", split="split")


def test_location(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POCKETREC_DATA", str(tmp_path))
    assert data_root() == tmp_path
    with pytest.raises(DataError, match=r"no data set 'shop' in .*: set \$POCKETREC_DATA"):
        find_log(DataConfig(set="shop"))
    (tmp_path / "shop").mkdir()
    with pytest.raises(DataError, match=r"no log in .*shop \(looked for interactions\.csv"):
        find_log(DataConfig(set="shop"))
    for name in ("shop.inter", "interactions.csv.gz", "interactions.csv"):  # the later ones win
        (tmp_path / "shop" / name).touch()
        assert find_log(DataConfig(set="shop")).name == name
        assert find_log(DataConfig(path=str(tmp_path / "shop"))).name == name
    with pytest.raises(DataError, match=r"no file .*nothing\.csv: correct data\.path"):
        find_log(DataConfig(set="shop", path=str(tmp_path / "nothing.csv")))


def test_cache_where_nothing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POCKETREC_DATA", raising=False)
    monkeypatch.setattr("pocketrec.cloud.data.location._CHECKOUT", tmp_path / "clone")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "below").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere" / "below")
    assert data_root() == tmp_path / "cache" / "pocketrec" / "data"
    (tmp_path / "shared" / "data").mkdir(parents=True)
    assert data_root() == tmp_path / "shared" / "data"


def test_an_installed_wheel_finds_data_beside_the_checkout_it_is_used_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("POCKETREC_DATA", raising=False)
    monkeypatch.setattr("pocketrec.cloud.data.location._CHECKOUT", tmp_path / "environment" / "site-packages")
    (tmp_path / "clone").mkdir()
    (tmp_path / "shared" / "data").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "clone")
    assert data_root() == tmp_path / "shared" / "data"


ids = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), min_size=1, max_size=8)


@examples(30, times=3)
@given(rows=st.lists(st.tuples(ids, ids, st.integers(-(2**53), 2**53)), min_size=1, max_size=20))
def test_any_ids_come_back_from_csv(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, int]]) -> None:
    def quoted(text: str) -> str:
        return '"' + text.replace('"', '""') + '"'

    content = HEADER + "".join(f"{quoted(user)},{quoted(item)},{time}\n" for user, item, time in rows)
    log = read(tmp_path_factory.mktemp("any"), content)
    assert events(log) == rows


pieces = st.sampled_from(["7", "8", "x", "", '"', '"a,b"', "é", "\0", ",", ",", ",", ",", "\n", "\n", "\r\n", "\r", "1",
                          "2.5", "-3", "2020-01-02", "nan", "1e3"])  # fmt: skip


@examples(60, times=3)
@given(
    rows=st.lists(st.tuples(ids, ids, st.sampled_from(["1", "2", "30", "4.5", "x", "2020-01-02"])), max_size=8),
    noise=st.lists(pieces, max_size=30), block=st.integers(1, 60), form=st.sampled_from(["csv", "inter"]),
)  # fmt: skip
def test_blocks_and_parsers_do_not_change_the_log(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]], noise: list[str], block: int, form: str
) -> None:
    """Small blocks with both parsers, against the whole file through pandas alone."""
    path = tmp_path_factory.getbasetemp() / "blocks"  # not a folder for each example: to remove them takes as long
    lines = "".join(",".join(row) + "\n" for row in rows)
    path.write_bytes((HEADER + lines + "".join(noise) + "\n" + lines).encode())
    config = DataConfig(path=str(path), format=form, category="item", max_bad_share=1)

    def found(block_bytes: int) -> Any:
        try:
            log = read_log(config, block_bytes=block_bytes)
        except DataError as error:
            return str(error).split(":")[0]
        return events(log), texts(log.categories), log.timestamps.dtype, log.report

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "pyarrow", None)
        expected = found(1 << 20)
    assert found(block) == expected


def test_progress_ends_at_the_size_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(gzip.compress((HEADER + "".join(f"u{i},{i * i},{i}\n" for i in range(30_000))).encode()))
    calls: list[tuple[int, int]] = []
    progress = lambda done, total, note="": calls.append((done, total))  # noqa: E731
    read_log(DataConfig(path=str(path)), block_bytes=1 << 16, progress=progress)
    assert len(calls) > 3
    assert sorted(calls) == calls
    assert calls[-1] == (path.stat().st_size,) * 2


@examples(100)
@given(log=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(-2, 2)), min_size=1),
       scale=st.sampled_from([1, 2**40, 2**61]), floats=st.booleans())  # fmt: skip
def test_count_of_duplicates(log: list[tuple[int, int, int]], scale: int, floats: bool) -> None:
    users, items, times = (np.array(column) for column in zip(*log, strict=True))
    times = times * (scale / 4 if floats else scale)
    assert count_duplicates(users, items, times) == len(log) - len(set(log))


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "users", "items", "count"),
    [("ml-100k", 943, 1_682, 100_000), ("taobao-userbehavior-sample", 815, 55_374, 84_488),
     ("yoochoose-100k", 21_210, 2_933, 83_845)],
)  # fmt: skip
def test_logs_of_the_project(name: str, users: int, items: int, count: int) -> None:
    if not (data_root() / name).is_dir():
        pytest.skip(f"no {name} in {data_root()}")
    log = read_log(DataConfig(set=name))
    assert (len(log.users.values), len(log.items.values), len(log)) == (users, items, count)
    assert log.report.bad == 0
