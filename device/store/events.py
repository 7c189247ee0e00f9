# SPDX-License-Identifier: Apache-2.0
"""A user's events, from a CSV or TSV file or from the application.

Only the standard library reads the file, a row at a time: a log of many users costs no more memory than one user's
events. This module does not know item rows; it gives item ids.
"""

from __future__ import annotations

import csv
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeAlias

from pocketrec.device.base.columns import SESSION_NAMES, TIME_NAMES, USER_NAMES, letters_of
from pocketrec.device.base.errors import DataError
from pocketrec.device.base.times import seconds_of, seconds_of_text

#: An event as an application gives it: an item id, or an item id and a time (see `pocketrec.device.base.times`; larger
#: is later), or, for a lean bundle, an item id, a time and the item's category; or a dict with the keys item, time (or
#: timestamp) and category.
Event: TypeAlias = "str | tuple[str, Any] | tuple[str, Any, str] | Mapping[str, Any]"

_SHOWN = 5  # line numbers of bad rows that are kept


@dataclass
class Events:
    """Events of one user, oldest first (stable for equal times)."""

    items: list[str] = field(default_factory=list)
    """Item ids."""
    times: list[float | None] = field(default_factory=list)
    """Their times; None where the source has none."""
    categories: list[str] = field(default_factory=list)
    """Categories of the items, for a lean bundle; empty where the source has none."""
    rows: int = 0
    """Rows of the file, all users, without the header."""
    bad: int = 0
    """Rows left out because the item is empty or the time is not a number or a date."""
    bad_lines: list[int] = field(default_factory=list)
    """Line numbers of the first few of them."""

    def __len__(self) -> int:
        return len(self.items)


def gather(events: Iterable[Event]) -> Events:
    """Events of an application, in the order given.

    Raises:
        DataError: an entry is neither an id nor a pair of id and time, or `events` is not a list of such.
    """
    if isinstance(events, str | bytes):
        raise DataError(f"{events!r} is one text and not a list of events: give [{events!r}]")
    if isinstance(events, Mapping) or hasattr(events, "columns"):
        raise DataError(f"a {type(events).__name__} is not a list of events: give pairs of item id and time")
    if not isinstance(events, Iterable):
        raise DataError(f"{events!r} is not a list of events: give item ids, or pairs of item id and time")
    gathered = Events()
    for event in events:
        item, time, category = (str(event), None, "") if isinstance(event, str) else _triple(event)
        if not item:
            raise DataError(f"{event!r} has an empty item id: give the item's id")
        gathered.items.append(item)
        gathered.times.append(time)
        gathered.categories.append(category)
    gathered.rows = len(gathered.items)
    return gathered


def read_events(
    path: str | Path,
    user: str | None = None,
    *,
    user_column: str | None = None,
    item_column: str = "item",
    time_column: str | None = None,
    category_column: str | None = None,
) -> Events:
    """Read the events of one user from a file with a header line, such as ``user,item,timestamp``.

    Args:
        path: a .csv or .tsv file (any other suffix: tab-separated where the header has a tab), or either as .gz.
        user: whose rows are taken; needed where the file has a user column.
        user_column: its name; None = ``user`` where there is one, else all rows are this user's; "" = they are.
        item_column: column of the item id.
        time_column: column of the time, a number or an ISO 8601 date; None = ``timestamp`` where there is one, else
            the rows are in the order of time; "" = they are.
        category_column: column of the item's category, which a lean bundle uses; None = ``category`` where there is
            one.

    Raises:
        DataError: the file is missing or unreadable, a column is missing or perhaps another one, there is no row, no
            row of the user, or no good row.
    """
    path = Path(path)
    try:
        with _open(path) as file:
            found = _read(path, file, user, user_column, item_column, time_column, category_column)
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror or error}): name a CSV or TSV file") from None
    except (UnicodeDecodeError, csv.Error, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {path} ({error}): name a CSV or TSV file in UTF-8") from None
    if not found.items:
        if found.bad:
            raise DataError(f"{path} has no good row (the first bad one is line {found.bad_lines[0]}): "
                            "correct the file")
        whose = f" of user {user}" if found.rows else ""
        raise DataError(f"{path} has no row{whose}: name another file{' or --user' if whose else ''}")
    if None not in found.times:
        order = sorted(range(len(found)), key=lambda place: found.times[place] or 0.0)
        found.items = [found.items[place] for place in order]
        found.times = [found.times[place] for place in order]
        found.categories = [found.categories[place] for place in order] if found.categories else []
    return found


def _read(
    path: Path, file: IO[str], user: str | None, user_column: str | None, item_column: str, time_column: str | None,
    category_column: str | None,
) -> Events:
    header_line = file.readline()
    tabs = ".tsv" in path.suffixes or (".csv" not in path.suffixes and "\t" in header_line)
    delimiter = "\t" if tabs else ","
    header = [name.strip() for name in next(csv.reader([header_line.lstrip("\ufeff")], delimiter=delimiter), [])]
    if not header:
        raise DataError(f"{path} is empty: name a file with a header line such as user,item,timestamp")
    of_item = _place(path, header, item_column, "item")
    of_user = _optional(path, header, user_column, "user", (USER_NAMES | SESSION_NAMES), item_column)
    of_time = _optional(path, header, time_column, "timestamp", TIME_NAMES, item_column)
    of_category = None
    if category_column or "category" in header:
        of_category = _place(path, header, category_column, "category")
    if of_user is not None and user is None:
        raise DataError(f"{path} has a user column {header[of_user]}: say which user with --user")
    found = Events()
    for line, row in _rows(csv.reader(file, delimiter=delimiter)):
        found.rows += 1
        if of_user is not None and (of_user >= len(row) or row[of_user] != user):
            continue
        item = row[of_item] if of_item < len(row) else ""
        time = None if of_time is None else seconds_of_text(row[of_time]) if of_time < len(row) else math.nan
        if not item or (time is not None and not math.isfinite(time)):
            found.bad += 1
            if len(found.bad_lines) < _SHOWN:
                found.bad_lines.append(line)
            continue
        found.items.append(item)
        found.times.append(time)
        if of_category is not None:
            found.categories.append(row[of_category] if of_category < len(row) else "")
    return found


def _rows(reader: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not empty, with their line numbers (the header is line 1)."""
    for line, row in enumerate(reader, start=2):
        if row:
            yield line, row


def _optional(
    path: Path, header: list[str], name: str | None, default: str, alike: frozenset[str], item: str
) -> int | None:
    """Place of a column that need not be there.

    Raises:
        DataError: it was named and is not there; or it was not named, and another column is called like it: taking all
            rows as one user's, or as later ones, would be wrong without a word.
    """
    if name or (name is None and default in header):
        return _place(path, header, name, default)
    others = [column for column in header if letters_of(column) in alike and column != item]
    if name is None and others:
        what = "all rows are this user's" if default == "user" else "the rows are in the order of time"
        raise DataError(f"{path} has no column {default!r}, and {others[0]!r} may be it: say --{default}-column "
                        f"{others[0]}, or --{default}-column '' where {what}")  # fmt: skip
    return None


def _place(path: Path, header: list[str], name: str | None, default: str) -> int:
    name = name or default
    if name not in header:
        raise DataError(f"{path} has no column {name!r} (it has {', '.join(header)}): "
                        f"name the right one with --{default}-column")  # fmt: skip
    return header.index(name)


def _triple(event: object) -> tuple[str, float | None, str]:
    if isinstance(event, Mapping):
        unknown = [str(key) for key in event if key not in ("item", "time", "timestamp", "category")]
        if unknown or "item" not in event or ("time" in event and "timestamp" in event):
            raise DataError(f"{event!r} is not an event: a dict has the keys item, time (or timestamp) and category")
        event = (event["item"], event.get("time", event.get("timestamp")), event.get("category") or "")
    if isinstance(event, tuple | list) and len(event) in (2, 3) and isinstance(event[0], str):
        category = event[2] if len(event) == 3 else ""
        if isinstance(category, str):
            return event[0], seconds_of(event[1]), category
    raise DataError(f"{event!r} is not an event: give an item id (a string), or a pair of item id and time")


def _open(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        import gzip

        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return open(path, encoding="utf-8", newline="")
