# SPDX-License-Identifier: Apache-2.0
"""Readers of logs, small and slow, with nothing of the project in them: csv, datetime and pyarrow alone."""

from __future__ import annotations

import csv
import datetime
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Event = tuple[str, str, float]

_NUMBER = re.compile(r"[ \t]*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?[ \t]*")
_DATE = re.compile(r"(\d{4})([-/])(\d\d)\2(\d\d)(?:[T ](\d\d(?::\d\d(?::\d\d)?)?))?( UTC|Z)?")
_FIRST, _LAST = datetime.date(1677, 9, 22), datetime.date(2262, 4, 11)
_END = "\x01END"


@dataclass
class Found:
    """What is in a log."""

    events: list[Event] = field(default_factory=list)
    rows: int = 0
    bad_lines: list[int] = field(default_factory=list)
    open_quote: bool = False
    """A quote is not closed: the log must be refused."""


def read_text(raw: bytes, separator: str, places: Sequence[int], columns: int, header: int, quoted: bool) -> Found:
    """Read a text whose user, item and time lie at `places` of so many columns."""
    text = raw.removeprefix(b"\xef\xbb\xbf").decode("latin-1")
    text += "" if not text or text[-1] in "\r\n" else "\n"
    physical = re.split("\r\n|\r|\n", text)
    csv.field_size_limit(1 << 30)
    reader = csv.reader(
        io.StringIO(text + _END, newline=""),
        delimiter=separator,
        quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
    )
    found, rows, before = Found(), [], 0
    for record in reader:
        first, before = before + 1, reader.line_num
        if record == [_END]:
            break
        if first <= header:
            continue
        if any(_END in value for value in record):
            found.open_quote = True
            break
        lines = [(first + n, line) for n, line in enumerate(physical[first - 1 : before])]
        if len(lines) > 1 and _swallows([line for _, line in lines], separator, places, columns):
            rows += [(number, None) for number, line in lines if line.strip(" \t\n\r\x0b\x0c")]
        elif any(record[place : place + 1] not in ([], [""]) for place in (*places, columns)):
            rows.append((first, record))
    _understand(found, rows, places, columns)
    return found


def _swallows(lines: list[str], separator: str, places: Sequence[int], columns: int) -> bool:
    def is_row(line: str) -> bool:
        fields = line.replace('"', "").split(separator)
        return (
            len(fields) == columns
            and all(fields[place].encode("latin-1").strip() for place in places)
            and any(c in "0123456789" for c in fields[places[2]])
        )

    return any(map(is_row, lines[1:-1])) or (is_row(lines[0]) and is_row(lines[-1]))


def _understand(found: Found, rows: list[tuple[int, list[str] | None]], places: Sequence[int], columns: int) -> None:
    times = ["" if record is None else (record[places[2] : places[2] + 1] or [""])[0] for _, record in rows]
    numbers, dates = [number(text) for text in times], [date(text) for text in times]
    count = sum(value is not None for value in numbers)
    dated = sum(value is not None for value in dates)
    chosen = dates if 2 * count < sum(text != "" for text in times) and dated > count else _alike(numbers)
    found.rows = len(rows)
    for (line, record), time in zip(rows, chosen, strict=True):
        values = record or []
        user, item = ((values[place : place + 1] or [""])[0] for place in places[:2])
        good = record is not None and values[columns : columns + 1] in ([], [""]) and time is not None
        ids = [as_id(value.encode("latin-1")) for value in (user, item)]
        if good and ids[0] is not None and ids[1] is not None:
            assert time is not None
            found.events.append((ids[0], ids[1], time))
        else:
            found.bad_lines.append(line)


def read_parquet(tables: Sequence[Any]) -> Found:
    """Read pyarrow tables with the columns user, item and timestamp, one after the other."""
    rows = [
        row
        for table in tables
        for row in zip(*(table.column(name).to_pylist() for name in ("user", "item", "timestamp")), strict=True)
    ]
    found = Found(rows=len(rows))
    values = [row[2] for row in rows]
    numbers, dates = [_parquet_number(value) for value in values], [_parquet_date(value) for value in values]
    count, dated = (sum(value is not None for value in column) for column in (numbers, dates))
    texts = sum(value is not None and value != "" and value == value for value in values)
    chosen = dates if 2 * count < texts and dated > count else _alike(numbers)
    for number_of, ((user, item, _), time) in enumerate(zip(rows, chosen, strict=True), start=1):
        ids = [_parquet_id(value) for value in (user, item)]
        if ids[0] is not None and ids[1] is not None and time is not None:
            found.events.append((ids[0], ids[1], time))
        else:
            found.bad_lines.append(number_of)
    return found


def _alike(numbers: list[float | None]) -> list[float | None]:
    """A column holds 64-bit whole numbers, or doubles where one is neither."""
    if all(value is None or (isinstance(value, int) and -(2**63) <= value < 2**63) for value in numbers):
        return numbers
    return [None if value is None else float(value) for value in numbers]


def _parquet_id(value: Any) -> str | None:
    if isinstance(value, float):
        return None if math.isnan(value) else str(int(value))
    return None if value is None else as_id(value if isinstance(value, bytes) else str(value).encode())


def _parquet_number(value: Any) -> float | None:
    if isinstance(value, str):
        return number(value)
    return value if isinstance(value, int | float) and math.isfinite(value) else None


def _parquet_date(value: Any) -> float | None:
    if isinstance(value, str):
        return date(value)
    return _seconds(value) if isinstance(value, datetime.datetime) else None


def as_id(raw: bytes) -> str | None:
    """The id, or None where the bytes cannot be one."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if not text or any(c in text for c in "\n\r\0") else text


def number(text: str) -> float | None:
    """A finite number, exact where it is whole."""
    if not _NUMBER.fullmatch(text):
        return None
    try:
        return int(text)
    except ValueError:
        return float(text) if math.isfinite(float(text)) else None


def date(text: str) -> float | None:
    """Seconds since 1970 of a date in one of the forms that the tests write."""
    match = _DATE.fullmatch(text)
    if not match:
        return None
    year, _, month, day, clock, _ = match.groups()
    try:
        return _seconds(datetime.datetime.fromisoformat(f"{year}-{month}-{day}T{clock or '00:00:00'}"))
    except ValueError:
        return None


def _seconds(moment: datetime.datetime) -> float | None:
    if not _FIRST <= moment.date() < _LAST:
        return None
    return (moment - datetime.datetime(1970, 1, 1)) / datetime.timedelta(seconds=1)
