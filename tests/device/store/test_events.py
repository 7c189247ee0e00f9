# SPDX-License-Identifier: Apache-2.0
"""Events from files and from applications."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from pocketrec.device.base.errors import DataError
from pocketrec.device.store.events import gather, read_events


def written(folder: Path, text: str, name: str = "e.csv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


LOG = "user,item,timestamp\nu1,b,20\nu2,x,1\nu1,a,10\nu1,c,20\n"


def test_rows_of_one_user_in_order_of_time(tmp_path: Path) -> None:
    events = read_events(written(tmp_path, LOG), "u1")
    assert (events.items, events.times, events.rows, events.bad) == (["a", "b", "c"], [10.0, 20.0, 20.0], 4, 0)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("e.tsv", LOG.replace(",", "\t")),
        ("e.txt", LOG.replace(",", "\t")),
        ("e.txt", LOG),
        ("e.csv", "\ufeff" + LOG),
        ("e.csv", LOG.replace("\n", "\r\n")),
        ("e.csv", LOG.replace("\n", "\n\n").replace("c,20", '"c",20')),
    ],
)
def test_shapes_of_the_same_file(tmp_path: Path, name: str, text: str) -> None:
    assert read_events(written(tmp_path, text, name), "u1").items == ["a", "b", "c"]


def test_gzip_and_column_names(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "e.csv.gz", "wt") as file:
        file.write("who,what,when\nu1,b,2\nu1,a,1\n")
    events = read_events(tmp_path / "e.csv.gz", "u1", user_column="who", item_column="what", time_column="when")
    assert events.items == ["a", "b"]


def test_without_user_and_time_columns_all_rows_count_in_their_order(tmp_path: Path) -> None:
    events = read_events(written(tmp_path, "item\nb\na\n"), "u1")
    assert (events.items, events.times) == (["b", "a"], [None, None])


def test_dates_are_unix_seconds(tmp_path: Path) -> None:
    text = "item,timestamp\nb,1970-01-01T00:01:00\na,1970-01-01 00:00:59+00:00\nc,61.5\n"
    assert read_events(written(tmp_path, text)).times == [59.0, 60.0, 61.5]


def test_bad_rows_are_counted_with_their_lines(tmp_path: Path) -> None:
    text = "item,timestamp\na,1\n,2\nb,soon\nc\nd,nan\ne,5\n"
    events = read_events(written(tmp_path, text))
    assert (events.items, events.bad, events.bad_lines) == (["a", "e"], 4, [3, 4, 5, 6])


@pytest.mark.parametrize(
    ("text", "options", "match"),
    [
        ("user,thing\nu1,a\n", {}, r"no column 'item' \(it has user, thing\): name the right one with --item-column"),
        (LOG, {"time_column": "time"}, "has no column 'time'.*--timestamp-column"),
        (LOG, {"user_column": "visitor"}, "has no column 'visitor'.*--user-column"),
        (LOG, {"user": "u9"}, "has no row of user u9: name another file or --user"),
        (LOG, {"user": None}, "has a user column user: say which user with --user"),
        ("", {}, "is empty: name a file with a header line"),
        ("item\n", {}, "has no row: name another file"),
        ("item,timestamp\n,1\na,x\n", {}, "has no good row .the first bad one is line 2.: correct the file"),
    ],
)
def test_errors_are_one_line(tmp_path: Path, text: str, options: dict[str, str], match: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(DataError, match=match) as caught:
        read_events(path, **{"user": "u1", **options})
    assert "\n" not in str(caught.value)


def test_files_that_are_no_text(tmp_path: Path) -> None:
    long = b"item\n" + b"a" * 200_000
    for name, content in (("e.csv", b"item\n\xff\xfe\x00"), ("e.csv.gz", b"no gzip"), ("e.csv", long)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match="cannot read"):
            read_events(tmp_path / name)
    with pytest.raises(DataError, match=r"cannot read .*No such file"):
        read_events(tmp_path / "none.csv")


def test_application_events() -> None:
    events = gather(["a", ("b", 3), ("c", None), ("d", 4.5)])
    assert (events.items, events.times) == (["a", "b", "c", "d"], [None, 3.0, None, 4.5])
    for bad in (3, ("a",), (3, 4), ("a", "b"), ("a", float("nan")), None):
        with pytest.raises(DataError, match=r"is not (an event|a time): give"):
            gather([bad])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("header", "column"),
    [
        ("visitor,item,timestamp", "--user-column visitor"),
        ("item,sessionId,timestamp", "--user-column sessionId"),
        ("item,when", "--timestamp-column when"),
    ],
)
def test_a_column_that_may_be_the_user_or_the_time_is_not_passed_over(tmp_path: Path, header: str, column: str) -> None:
    """All rows would be one user's, or all events later ones, without a word."""
    path = tmp_path / "events.csv"
    path.write_text(header + "\n" + ",".join("123"[: header.count(",") + 1]) + "\n")
    with pytest.raises(DataError, match=column):
        read_events(path, "1")
    assert len(read_events(path, user_column="", time_column="")) == 1
