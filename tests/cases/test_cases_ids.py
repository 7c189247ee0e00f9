# SPDX-License-Identifier: Apache-2.0
"""What could be meant otherwise is told in a line: columns, a log without times, ids that look like others."""

from __future__ import annotations

import pytest
from case_logs import Read, events, expected, rows, table

from pocketrec.cloud.data.log import Log
from pocketrec.device.base.errors import DataError

LINES = rows()


def notes(log: Log) -> list[str]:
    return log.report.details.notes


@pytest.mark.parametrize("other", ["user_id", "session", "sessionId", "visitorid", "customer_id"])
def test_two_columns_that_could_be_the_user(read: Read, other: str) -> None:
    log = read(table([(*row, "s") for row in LINES], ("user", "item", "timestamp", other)))
    assert notes(log) == [f"column user is the user; {other} could be it, too: data.user decides"]
    log = read(table([(*row, "s") for row in LINES], ("user", "item", "timestamp", other)), user=other)
    assert set(events(log)) == {("s", item, int(time)) for _, item, time in LINES}
    assert notes(log) == [f"column {other} is the user; user could be it, too: data.user decides"]


def test_two_columns_of_a_recbole_file(read: Read) -> None:
    header = "user_id:token\tsession_id:token\titem_id:token\ttimestamp:float\n"
    log = read(header + "".join(f"{u}\ts\t{i}\t{t}\n" for u, i, t in LINES), "log.inter")
    assert events(log) == expected(LINES)
    assert notes(log) == ["column user_id is the user; session_id could be it, too: data.user decides"]


def test_two_columns_that_could_be_the_item_or_the_time(read: Read) -> None:
    log = read(table([(*row, "s", "9") for row in LINES], (*["user", "item", "timestamp"], "product_id", "date")))
    assert notes(log) == [
        "column item is the item; product_id could be it, too: data.item decides",
        "column timestamp is the timestamp; date could be it, too: data.timestamp decides",
    ]


def test_columns_that_are_used_and_clean_ids_give_no_note(read: Read) -> None:
    log = read(table([(*row, "s") for row in LINES], ("user", "item", "timestamp", "session")), keep={"session": ["s"]})
    assert notes(log) == []


def test_a_log_without_times(read: Read) -> None:
    content = table([row[:2] for row in LINES], ("user", "item"))
    with pytest.raises(DataError, match=r"no column 'timestamp' .*or to \"\" where the rows are in the order of time"):
        read(content)
    log = read(content + ",i9\n\n", timestamp="")
    assert events(log) == [(user, item, n) for n, (user, item, _) in enumerate(LINES)]
    assert notes(log) == ["no column holds times (data.timestamp is empty): the order of the rows is that of time"]
    assert (log.report.bad, log.report.bad_lines) == (1, [42])


def test_a_log_without_times_keeps_its_order_when_rows_are_filtered(read: Read) -> None:
    lines = [(u, i, "ab"[n % 2]) for n, (u, i, _) in enumerate(LINES)]
    log = read(table(lines, ("user", "item", "kind")), timestamp="", keep={"kind": ["b"]})
    assert log.timestamps.tolist() == list(range(1, 40, 2))


ODD = {
    "a space before": ([" i1", "i1"], "item ' i1' in line 42 begins or ends with a space: kept as written"),
    "a space behind": (["i1 ", "i2 "], "item 'i1 ' in line 42 begins or ends with a space (so do 1 other ids): kept"),
    "a tab": (["i1\t"], "item 'i1?' in line 42 begins or ends with a space: kept"),
    "a hard space": (["\u00a0i1"], "begins or ends with a space"),
    "25 beside 25.0": (
        ["25", "25.0", "26.0"],
        "item '25.0' in line 43 stands beside '25': kept as written, two different",
    ),
    "NaN": (["NaN"], "item 'NaN' in line 42 looks like a missing value: taken as an id like any other"),
    "None": (["None"], "item 'None' in line 42 looks like a missing value"),
    "null": (["null"], "looks like a missing value"),
    "N of Hive": (["\\N"], "looks like a missing value"),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("column", ["item", "user"])
def test_odd_ids_are_kept_and_told(read: Read, kind: str, column: str) -> None:
    ids, words = ODD[kind]
    more = [("u0", odd, "1") if column == "item" else (odd, "i0", "1") for odd in ids]
    log = read(table([*LINES, *more]))
    assert events(log) == expected([*LINES, *more])
    (note,) = notes(log)
    assert words.replace("item '", f"{column} '") in note


def test_ids_of_rows_that_are_left_out_are_not_told(read: Read) -> None:
    log = read(table([*LINES, ("NaN", "i0", "x"), (" u", "i0", "")]))
    assert notes(log) == []


def test_250_beside_other_numbers_with_a_point_is_nothing_odd(read: Read) -> None:
    assert notes(read(table([*LINES, ("u", "25", "1"), ("u", "26.0", "2"), ("u", "25.5", "3")]))) == []


def test_days_as_numbers_are_told(read: Read) -> None:
    log = read(table([(u, i, f"202009{n % 30 + 1:02d}") for n, (u, i, _) in enumerate(LINES)]))
    assert notes(log) == [
        'timestamp has numbers such as 20200901, taken as numbers: data.time_format = "%Y%m%d" reads them as days'
    ]
    assert notes(read(table([("a", "b", "20200901"), ("a", "c", "20209999")]))) == []
