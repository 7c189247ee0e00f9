# SPDX-License-Identifier: Apache-2.0
"""Random tables in every format and packing that is read, with random dirt, against small independent readers.

60 examples each; where POCKETREC_LONG is set, 1,000, or as many as it says if that is more than 1
(``POCKETREC_LONG=10000 pytest tests/cases/test_cases_any.py``).
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from case_logs import events
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_readers import Found, read_parquet, read_text

from pocketrec.cloud.config.data import DataConfig
from pocketrec.cloud.data.readers import read_log
from pocketrec.device.base.errors import DataError

pa = pytest.importorskip("pyarrow", exc_type=ImportError)
pq = pytest.importorskip("pyarrow.parquet", exc_type=ImportError)

ASKED = int(os.environ.get("POCKETREC_LONG") or 0)
EXAMPLES = ASKED if ASKED > 1 else (1000 if ASKED else 60)
CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]


def zipped(raw: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("log.txt", raw)
    return content.getvalue()


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zip": zipped,
}

# name: separator, names of the columns, header lines, quoted, what the configuration calls user, item and time
Form = tuple[str, list[str], bool, bool, tuple[str, str, str]]
PLAIN = ("user", "item", "timestamp")
FORMS: dict[str, Form] = {
    "csv": (",", ["user", "item", "timestamp"], True, True, PLAIN),
    "csv, other order": (",", ["x", "timestamp", "item", "y", "user"], True, True, PLAIN),
    "csv, semicolons": (";", ["item", "user", "note", "timestamp"], True, True, PLAIN),
    "csv, pipes": ("|", ["who", "what", "when"], True, True, ("who", "what", "when")),
    "tsv": ("\t", ["user", "item", "price", "timestamp"], True, True, PLAIN),
    "movielens csv": (",", ["userId", "movieId", "rating", "timestamp"], True, True, PLAIN),
    "inter": (
        "\t",
        ["user_id:token", "item_id:token", "timestamp:float"],
        True,
        False,
        ("user_id:token", "item_id:token", "timestamp:float"),
    ),
    "taobao": (",", ["user", "item", "category", "behavior", "timestamp"], False, False, PLAIN),
    "u.data": ("\t", ["user", "item", "rating", "timestamp"], False, False, PLAIN),
    "ratings.dat": (":", ["user", "", "item", "", "rating", "", "timestamp"], False, False, PLAIN),
    "yoochoose": (",", ["user", "timestamp", "item", "category"], False, False, PLAIN),
}
FIRST = {
    "taobao": b"1,2,3,pv,4",
    "u.data": b"1\t2\t3\t4",
    "ratings.dat": b"1::2::3::4",
    "yoochoose": b"1,2020-09-13T00:00:00Z,2,0",
}

IDS = st.one_of(
    st.sampled_from(
        [b"1", b"2", b"3", b"u1", b"u2", b"25", b"25.0", b"NaN", b"None", b" a", b"a ", b"007", b"-1", b"1.5"]
    ),
    st.text(
        st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"), exclude_characters='",;|\t:'),
        min_size=1,
        max_size=4,
    ).map(str.encode),
)
DIRTY = st.sampled_from(
    [
        b"",
        b'"',
        b'"x',
        b'x"',
        b'a"b',
        b'"a""b"',
        b"\xff",
        b"\x00",
        b"a\x00",
        b"caf\xe9",
        b'"a\nb"',
        b'"a\r\nb"',
        b'""',
        b'"a"b',
        b"\xef\xbb\xbf",
        b"\xc0\x80",
        b"a\rb",
    ]
)
NUMBERS = st.one_of(
    st.integers(0, 99).map(lambda n: b"%d" % n),
    st.integers(-(2**63), 2**63 - 1).map(lambda n: b"%d" % n),
    st.sampled_from([b"1.5", b"1e3", b"+7", b" 8", b"9 ", b"1.", b".5", b"007", b"1e-3"]),
)
DATES = st.one_of(
    st.dates().map(lambda day: day.isoformat().encode()),
    st.datetimes().map(lambda t: t.replace(microsecond=0).isoformat(" ").encode() + b" UTC"),
    st.datetimes().map(lambda t: t.strftime("%Y/%m/%d %H:%M:%S").encode() if t.year > 999 else b"2020/09/13"),
    st.sampled_from([b"2020-09-13T00:00:00Z", b"2020-02-30", b"9999-12-31", b"2020-13-01"]),
)
NO_TIMES = st.sampled_from(
    [
        b"",
        b"x",
        b"nan",
        b"inf",
        b"1e999",
        b"13/09/2020",
        b"Sep 13, 2020",
        b"1 2",
        b"0x10",
        b"1_000",
        b"--1",
        b"12:00",
        b"True",
        b"\xff",
        b"\x00",
        b"1\x00",
        b"-",
        b"1,5",
    ]
)
LINES = st.sampled_from([b"", b" ", b",,", b"x", b'"', b'"",""', b"\t", b"a,b,c,d,e,f,g,h", b'"a"', b"::::"])


def often(clean: Any, dirt: Any, share: int) -> Any:
    """Mostly `clean`: one in `share` is `dirt`."""
    return st.integers(0, share - 1).flatmap(lambda n: dirt if n == 0 else clean)


@st.composite
def text_logs(draw: st.DrawFn) -> tuple[str, bytes]:
    """A format and a text in it."""
    name = draw(st.sampled_from(list(FORMS)))
    separator, columns, header, quoted, names = FORMS[name]
    end = draw(st.sampled_from([b"\n", b"\n", b"\r\n", b"\r"]))
    times = draw(st.sampled_from([NUMBERS, DATES, st.integers(0, 50).map(lambda n: b"%d" % n)]))
    share = draw(st.sampled_from([3, 10, 10**6]))
    mark = separator.encode()
    lines = [mark.join(column.encode() for column in columns)] if header else [FIRST[name]]
    if name == "ratings.dat":
        mark, columns = b"::", ["user", "item", "rating", "timestamp"]
    for _ in range(draw(st.integers(0, 14))):
        if draw(st.integers(0, share)) == 0:
            lines.append(draw(LINES))
            continue
        fields = []
        for column in columns:
            if column in names[:2] or column in ("userId", "movieId"):
                value = draw(often(IDS, DIRTY, share))
            elif column == names[2]:
                value = draw(often(times, st.one_of(NO_TIMES, NUMBERS, DATES), share))
            else:
                value = draw(often(st.sampled_from([b"", b"x", b"3"]), DIRTY, share))
            fields.append(
                b'"' + value.replace(b'"', b'""') + b'"' if quoted and draw(st.integers(0, 9)) == 0 else value
            )
        extra = draw(often(st.just(0), st.sampled_from([-1, 1]), share))
        fields = [*fields, draw(st.sampled_from([b"", b"z"]))] if extra > 0 else fields[: len(fields) + extra]
        lines.append(mark.join(fields))
    raw = draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + end.join(lines) + draw(st.sampled_from([b"", end]))
    return name, raw


def compare(path: Path, found: Found, block: int, **names: Any) -> None:
    """Read a log and hold it against what a small reader found."""
    config = DataConfig(path=str(path), max_bad_share=1.0, **names)
    if found.open_quote or not found.events:
        with pytest.raises(DataError, match=r"opens a quote|has no event"):
            read_log(config, block_bytes=block)
        return
    log = read_log(config, block_bytes=block)
    report = log.report
    assert events(log) == found.events
    assert (report.rows, report.bad, report.bad_lines) == (found.rows, len(found.bad_lines), found.bad_lines[:5])
    assert report.rows == len(log) + report.bad, "a row is lost without a word"
    assert sum(reason.rows for reason in report.details.bad) == report.bad
    assert sorted({line for reason in report.details.bad for line in reason.lines})[:1] == found.bad_lines[:1]
    assert report.duplicates == len(found.events) - len(set(found.events))
    assert len(report.details.duplicate_lines) == min(5, report.duplicates)


def check_text(folder: Path, log: tuple[str, bytes], packing: str, block: int) -> None:
    name, raw = log
    separator, columns, header, quoted, (user, item, time) = FORMS[name]
    places = [0, 1, 3] if name == "movielens csv" else [columns.index(column) for column in (user, item, time)]
    path = folder / "log"
    path.write_bytes(PACKINGS[packing](raw))
    found = read_text(raw, separator, places, len(columns), int(header), quoted)
    names = {
        key: value.partition(":")[0]
        for key, value in zip(("user", "item", "timestamp"), (user, item, time), strict=True)
    }
    compare(path, found, block, **names)


blocks = st.sampled_from([9, 40, 90, 1 << 20, 1 << 20, 1 << 20])


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=CHECKS)
@given(log=text_logs(), packing=st.sampled_from(list(PACKINGS)), block=blocks)
def test_any_text(tmp_path: Path, log: tuple[str, bytes], packing: str, block: int) -> None:
    check_text(tmp_path, log, packing, block)


TEXTS = st.one_of(st.none(), st.text(max_size=4), st.sampled_from(["a", "b", "", "a\0b", "a\nb", " a", "25", "25.0"]))
WHOLE = st.one_of(st.none(), st.integers(0, 5), st.integers(-(2**63), 2**63 - 1))
BYTES = st.one_of(st.none(), st.binary(max_size=3), st.sampled_from([b"a", b"b", "é".encode()]))
DOUBLES = st.one_of(st.none(), st.just(float("nan")), st.integers(-9, 9).map(float))
ID_TYPES = [
    (pa.string(), TEXTS),
    (pa.large_string(), TEXTS),
    (pa.int64(), WHOLE),
    (pa.binary(), BYTES),
    (pa.float64(), DOUBLES),
    (pa.uint8(), st.one_of(st.none(), st.integers(0, 255))),
]
STAMPS = st.one_of(st.none(), st.datetimes().map(lambda t: t.replace(microsecond=0)))
TIME_TYPES = [
    (pa.int64(), WHOLE),
    (pa.float64(), st.one_of(st.none(), st.floats())),
    (pa.timestamp("us"), STAMPS),
    (pa.timestamp("ms"), STAMPS),
    (pa.timestamp("s"), STAMPS),
    (pa.int32(), st.one_of(st.none(), st.integers(0, 9))),
    (pa.string(), st.one_of(st.none(), NUMBERS.map(bytes.decode), DATES.map(bytes.decode), st.just(""), st.just("x"))),
]


@st.composite
def parquet_logs(draw: st.DrawFn) -> list[Any]:
    """One table, or several whose types may differ."""
    tables = []
    time_type, times = draw(st.sampled_from(TIME_TYPES))
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        count = draw(st.integers(0, 8))
        columns = {}
        for name in ("user", "item"):
            kind, values = draw(st.sampled_from(ID_TYPES))
            columns[name] = pa.array(draw(st.lists(values, min_size=count, max_size=count)), kind)
            if kind == pa.string() and draw(st.booleans()):
                columns[name] = columns[name].dictionary_encode()
        columns["timestamp"] = pa.array(draw(st.lists(times, min_size=count, max_size=count)), time_type)
        tables.append(pa.table(columns))
    return tables


def check_parquet(folder: Path, tables: list[Any], packing: str, groups: int) -> None:
    path = folder / "log.parquet"
    if len(tables) > 1:
        path = folder / "parts"
        path.mkdir(exist_ok=True)
        for left in path.iterdir():
            left.unlink()
    for number, table in enumerate(tables):
        file = path / f"part-{number}" if path.is_dir() else path
        pq.write_table(table, file, row_group_size=groups, compression=packing)
    compare(path, read_parquet(tables), 1)


packings = st.sampled_from(["none", "snappy", "gzip", "zstd", "brotli", "lz4"])


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=CHECKS)
@given(tables=parquet_logs(), packing=packings, groups=st.integers(1, 9))
def test_any_parquet(tmp_path: Path, tables: list[Any], packing: str, groups: int) -> None:
    check_parquet(tmp_path, tables, packing, groups)
