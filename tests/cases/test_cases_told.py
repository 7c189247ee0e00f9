# SPDX-License-Identifier: Apache-2.0
"""Rows left out are told with the first lines and the reason of each kind; common times are read, or named."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from case_logs import BEGIN, Read, events, expected, rows, table

from pocketrec.cli import main
from pocketrec.cloud.data import duplicates
from pocketrec.cloud.data.duplicates import find_duplicates
from pocketrec.cloud.data.findings import findings
from pocketrec.device.base.errors import ConfigError, DataError

LINES = rows()
DAY = 1_599_955_200  # 2020-09-13


def reasons(log: Any) -> list[tuple[str, str, str, int, list[int]]]:
    found = log.report.details.bad
    return [(reason.column, reason.value, reason.why, reason.rows, reason.lines) for reason in found]


BAD: dict[str, tuple[str | bytes, str, str, str]] = {
    "no user": (",i,1600000000", "user", "", "is empty or missing"),
    "no item": ("u,,1600000000", "item", "", "is empty or missing"),
    "no time": ("u,i,", "timestamp", "", "is empty or missing"),
    "a field too few": ("u,i", "timestamp", "", "is empty or missing"),
    "a field too many": ("u,i,1600000000,x", "", "", "has more fields than there are columns"),
    "item is not UTF-8": (b"u,\xff\xfe,1600000000", "item", "\\xff\\xfe", "is not UTF-8 text"),
    "user is not UTF-8": (b"caf\xe9,i,1600000000", "user", "caf\\xe9", "is not UTF-8 text"),
    "item of two lines": ('u,"a\nb",1600000000', "item", "a?b", "has a line break in it"),
    "a word for a time": ("u,i,soon", "timestamp", "soon", "is neither a number nor an ISO 8601 date"),
    "accents in a time": ("u,i,août", "timestamp", "août", "is neither a number nor an ISO 8601 date"),
    "a date among numbers": ("u,i,2020-09-13", "timestamp", "2020-09-13", "is a date, where most times are numbers"),
    "day or month first": ("u,i,13/09/2020", "timestamp", "13/09/2020", "may have the day or the month first"),
    "not finite": ("u,i,inf", "timestamp", "inf", "is not a finite number"),
    "too large": ("u,i,1e999", "timestamp", "1e999", "is not a finite number"),
    "no day of the calendar": ("u,i,2020-02-30", "timestamp", "2020-02-30", "is not a day of the calendar"),
    "before all calendars": ("u,i,0001-01-01", "timestamp", "0001-01-01", "is not a day of the calendar"),
}


@pytest.mark.parametrize("kind", BAD)
def test_every_bad_row_has_its_reason(read: Read, kind: str) -> None:
    row, column, value, why = BAD[kind]
    raw = (row if isinstance(row, bytes) else row.encode()) + b"\n"
    good = table(LINES).encode()
    log = read(good + raw * 7)
    (found,) = reasons(log)
    step = raw.count(b"\n")
    assert found[:2] == (column, value)
    assert found[2].startswith(why)
    assert found[3:] == (7, [len(LINES) + 2 + step * n for n in range(5)])
    assert events(log) == expected(LINES)


def test_a_number_among_dates(read: Read) -> None:
    log = read("user,item,timestamp\n" + "a,b,2020-09-13\n" * 9 + "a,c,17\n")
    assert reasons(log) == [("timestamp", "17", "is a number, where most times are dates", 1, [11])]


def test_the_most_frequent_reason_comes_first_and_every_row_counts_once(read: Read) -> None:
    log = read(table([*LINES, ("", "", "x"), ("u", "", "x"), ("u", "", "5"), ("u", "i", "x")]))
    assert [(r[0], r[3]) for r in reasons(log)] == [("item", 2), ("user", 1), ("timestamp", 1)]
    assert sum(r[3] for r in reasons(log)) == log.report.bad == 4


def test_a_log_of_bad_rows_alone_is_not_advised_to_raise_the_share(read: Read) -> None:
    lines = [(u, i, "13/09/2020") for u, i, _ in LINES]
    with pytest.raises(
        DataError, match=r"'13/09/2020' in line 2 may have the day or the month first.*data\.time_format"
    ) as caught:
        read(table(lines))
    assert "max_bad_share" not in str(caught.value)
    with pytest.raises(DataError, match=r"or raise data\.max_bad_share \(0\.01\)"):
        read(table([*LINES, *lines]), max_bad_share=0.01)


TIMES = {
    "2020/09/13": DAY,
    "2020/9/13": DAY,
    "2020.09.13": DAY,
    "2020/09/13 01:00": DAY + 3600,
    "2020-09-13 00:00:01 UTC": DAY + 1,
    "2020-09-13 00:00:00.500000 UTC": DAY + 0.5,
    "2020-09-13T00:00:01 GMT": DAY + 1,
    "2020/09/13 01:00:00+01:00": DAY,
    "2020-09-13 8:05": DAY + 29_100,
    "2020-09-13 ": DAY,
    "2020-09-13 00:00:01 +0000": DAY + 1,
    "2020-09-13T00:00:01Z": DAY + 1,
}


@pytest.mark.parametrize("text", TIMES)
@pytest.mark.parametrize("among", ["", "2020-09-12"])
def test_common_times_are_read(read: Read, text: str, among: str) -> None:
    log = read("user,item,timestamp\n" + f"a,b,{among or text}\n" * 3 + f"a,c,{text}\n")
    assert (log.timestamps[-1], log.report.bad) == (TIMES[text], 0)


FORMATS = {
    "%d/%m/%Y": ("13/09/2020", DAY),
    "%m/%d/%Y %H:%M": ("09/13/2020 01:00", DAY + 3600),
    "%Y%m%d": ("20200913", DAY),
    "%d.%m.%y": ("13.09.20", DAY),
    "%a %b %d %H:%M:%S %z %Y": ("Sun Sep 13 00:00:01 +0000 2020", DAY + 1),
}


@pytest.mark.parametrize("time_format", FORMATS)
def test_a_format_of_times(read: Read, time_format: str) -> None:
    text, moment = FORMATS[time_format]
    log = read(table([("a", "b", text), ("a", "c", text), ("a", "d", "x")]), time_format=time_format)
    assert log.timestamps.tolist() == [moment] * 2
    assert reasons(log) == [("timestamp", "x", "has not the form of data.time_format", 1, [4])]


def test_a_format_that_cannot_be_used_is_refused(read: Read) -> None:
    with pytest.raises(ConfigError, match="time_format"):
        read(table(LINES), time_format="%Y %Q")
    with pytest.raises(ConfigError, match="time_format has codes"):
        read(table(LINES), time_format="day")


def test_filtered_rows_and_duplicates_are_told_by_line(read: Read) -> None:
    lines = [(*row, "buy" if n % 4 else "view", "web") for n, row in enumerate(LINES)]
    lines += [lines[1], lines[2], lines[1], ("u", "i", "5", "buy", "")]
    log = read(table(lines, ("user", "item", "timestamp", "kind", "via")), keep={"kind": ["buy"], "via": ["web"]})
    details = log.report.details
    assert [(r.column, r.value, r.rows, r.lines) for r in details.filtered] == [
        ("kind", "view", 10, [2, 6, 10, 14, 18]),
        ("via", "", 1, [45]),
    ]
    assert (log.report.duplicates, details.duplicate_lines) == (3, [42, 43, 44])
    said = "\n".join(findings(log.report))
    assert "11 rows filtered by data.keep" in said
    assert "kind 'view' in line 2 is not among the values of data.keep (10 rows: lines 2, 6, 10, 14, 18, ...)" in said
    assert "3 rows repeat the user, item and time of another (lines 42, 43, 44): kept" in said


def test_the_first_duplicates_of_logs_of_several_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "_PART", 1 << 14)
    rng = np.random.default_rng(1)
    for scale, count in ((1, 40_000), (2**40, 40_000)):
        users, items, times = (rng.integers(0, 10, count) * rng.integers(0, 40, count) for _ in range(3))
        seen: set[tuple[int, int, int]] = set()
        wanted = []
        for row, event in enumerate(zip(users.tolist(), items.tolist(), times.tolist(), strict=True)):
            if event in seen:
                wanted.append(row)
            seen.add(event)
        assert len(wanted) > 5
        for limit in (5, 10**9):
            count, rows = find_duplicates(users, items, times * scale, limit)
            assert (count, rows.tolist()) == (len(wanted), wanted[:limit])


def prepare(folder: Path, content: str, *options: str) -> int:
    (folder / "log.csv").write_text(content)
    (folder / "run.toml").write_text('[data]\npath = "PATH"\n'.replace("PATH", str(folder / "log.csv")))
    sets = [word for option in options for word in ("--set", option)]
    return main(["prepare", str(folder / "run.toml"), "--out", str(folder / "run"), *sets])


def test_the_terminal_tells_rows_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [*rows(200), ("u", "i", "soon"), LINES[0]]
    assert prepare(tmp_path, table(lines)) == 0
    said = capsys.readouterr().err
    assert "202 rows of log.csv, 1 left out (line 202)" in said
    assert "left out: timestamp 'soon' in line 202 is neither a number nor an ISO 8601 date" in said
    assert "1 row repeats the user, item and time of another (line 203): kept" in said


def test_the_report_tells_rows_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pocketrec.cloud.data.prepared import load_reading
    from pocketrec.cloud.report.reading import reading

    assert prepare(tmp_path, table([*rows(200), ("u", "i", "<b>"), LINES[0]]), "data.keep.item=['i0','i1','i2']") == 0
    page = reading(load_reading(tmp_path / "run"))
    words = re.sub(r"<[^>]+>", "|", page)
    assert "202 rows of log.csv: 121 became events." in words
    assert "|left out||1||timestamp||&lt;b&gt;||is neither a number nor an ISO 8601 date" in words
    assert "||line 202|" in words
    assert "|filtered||80||item||" in words
    assert "|kept||1||||||repeats the user, item and time of another row||line 203|" in words
    assert str(BEGIN) not in words


def test_the_page_of_a_run_tells_rows_left_out(tmp_path: Path) -> None:
    from pocketrec.cloud.config.evaluate import EvaluateConfig
    from pocketrec.cloud.evaluation.evaluate import global_metrics
    from pocketrec.cloud.report import write_report

    assert prepare(tmp_path, table([*rows(200), ("u", "i", "soon")])) == 0
    metrics = global_metrics({"global": [np.array([1.0, 3.0])]}, evaluate=EvaluateConfig(bootstrap=9), window=20)
    (tmp_path / "run" / "metrics.json").write_text(json.dumps(metrics))
    page = write_report(tmp_path / "run").read_text()
    assert "201 rows of log.csv: 200 became events." in page
    assert "is neither a number nor an ISO 8601 date" in page
