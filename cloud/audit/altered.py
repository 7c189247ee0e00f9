# SPDX-License-Identifier: Apache-2.0
"""A log with the same past and another future.

Every event at or after the cut gets another item and another user; times, other columns, the number and the order of
rows stay as they are. The new ones are the rarest of the past, so that whatever is counted over the whole log changes
much and a threshold over such counts falls otherwise. One event gets a canary: an item and a user that exist nowhere
else.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from pocketrec.cloud.audit import tables
from pocketrec.cloud.audit.recount import moment
from pocketrec.device.base.errors import ConfigError, DataError

CANARY_ITEM: Final = "canary-item"
CANARY_USER: Final = "canary-user"


@dataclass(frozen=True)
class Altered:
    """Two logs of one form."""

    same: Path
    """The log as it is."""
    other: Path
    """With another future."""
    events: int
    altered: int
    """Events at or after the cut."""
    cut: float
    canary_item: str
    canary_user: str


def altered_log(path: Path, cut: str, columns: tables.Columns, alter: tuple[str, ...], folder: Path) -> Altered:
    """Write the log twice into `folder`: as it is, and with another future.

    Args:
        path: the log, a text file with one event a line (also compressed with gzip), or Parquet.
        cut: a number in the unit of the times, an ISO 8601 date, or a share of the events such as ``80%``.
        columns: names of columns that the user gave.
        alter: further columns whose later values are changed.
        folder: is made.

    Raises:
        DataError: the log cannot be read, or has no event on one side of the cut.
        ConfigError: the cut or a column of `alter` is not understood.
    """
    table = tables.read_table(path, "--log", "time")
    names = {}
    for what, given, usual in (("user", columns.user, tables.USERS), ("item", columns.item, tables.ITEMS),
                               ("time", columns.time, tables.TIMES)):  # fmt: skip
        found = tables.find_column(table, given, usual)
        if found is None:
            raise tables.no_column(path, given or what, table, f"--{what}-column")
        names[what] = found
    for name in alter:
        if name not in table:
            raise ConfigError(f"{path} has no column {name!r}: name another with --alter")
    times = tables.to_times(table[names["time"]], f"{path}, column {names['time']!r}")
    at = _cut(cut, times)
    later = (times >= at).to_numpy()
    if not later.any() or later.all():
        side = "before" if later.all() else "at or after"
        raise DataError(f"no event of {path} lies {side} the cut {cut} (times run from {times.min():.15g} to "
                        f"{times.max():.15g}): change --cut")  # fmt: skip
    changed, canaries = table.copy(), {}
    for what, word in (("user", CANARY_USER), ("item", CANARY_ITEM)):
        values, canary = _others(table[names[what]], later, word)
        changed[names[what]], canaries[what] = values, canary
    for name in alter:
        changed[name] = _others(table[name], later, "")[0]
    folder.mkdir(parents=True)
    _write(path, table, folder / "same", table)
    _write(path, table, folder / "other", changed)
    return Altered(folder / "same", folder / "other", len(table), int(later.sum()), at, canaries["item"],
                   canaries["user"])  # fmt: skip


def _cut(text: str, times: pd.Series) -> float:
    if text.endswith("%"):
        try:
            share = float(text[:-1]) / 100
        except ValueError:
            share = -1.0
        if not 0 < share < 1:
            raise ConfigError(f"--cut {text}: give a share between 0% and 100%, a time or a date")
        return float(times.sort_values().iloc[min(int(len(times) * share + 1e-9), len(times) - 1)])
    return moment(text, times)


def _others(column: pd.Series, later: Any, canary: str) -> tuple[pd.Series, str]:
    """Later values replaced by the rarest tenth of the past in turn; the middle one of them by a canary."""
    counts = column[~later].value_counts()
    order = sorted(counts.index, key=lambda value: (counts[value], str(value)))
    rare = order[: max(2, len(order) // 10)]
    values, places = column.copy(), later.nonzero()[0]
    new = [rare[at % len(rare)] for at in range(len(places))]
    values.iloc[places] = [rare[(at + 1) % len(rare)] if chosen == old else chosen
                           for at, (chosen, old) in enumerate(zip(new, column.iloc[places], strict=True))]  # fmt: skip
    if not canary:
        return values, ""
    whole = pd.to_numeric(column, errors="coerce")
    number: Any = canary
    if whole.notna().all() and (whole % 1 == 0).all():  # ids are numbers: so is the canary
        number = int(whole.max()) + 1
        number = column.dtype.type(number) if column.dtype.kind in "iuf" else str(number)
    values.iloc[places[len(places) // 2]] = number
    return values, str(number)


def _write(path: Path, table: pd.DataFrame, to: Path, content: pd.DataFrame) -> None:
    """A log in the form of `path` with the rows of `content`; `table` is what was read of `path`."""
    if tables.is_parquet(path, "--log"):
        content.to_parquet(to)  # the log itself too, so that both are written by one hand
        return
    if content is table:
        to.write_bytes(path.read_bytes())
        return
    text = tables.read_text(path, "--log")
    lines = text.splitlines(keepends=True)
    filled = [place for place, line in enumerate(lines) if line.strip()]
    if not 0 <= len(filled) - len(table) <= 1:
        raise DataError(f"{path} has fields of several lines: write it without line ends inside fields")
    rows = filled[len(filled) - len(table) :]
    separator = tables.separator_of(lines[filled[0]])
    moved = (content != table).any(axis=1).to_numpy().nonzero()[0]
    values = content.iloc[moved].to_numpy()
    for place, fields in zip([rows[at] for at in moved.tolist()], values.tolist(), strict=True):
        end = lines[place][len(lines[place].rstrip("\r\n")) :]
        lines[place] = _line(fields, separator) + end
    with gzip.open(path) if tables.compression_of(path) else path.open("rb") as file:
        mark = codecs.BOM_UTF8 if file.read(3) == codecs.BOM_UTF8 else b""
    raw = mark + "".join(lines).encode("utf-8")
    to.write_bytes(gzip.compress(raw, mtime=0) if tables.compression_of(path) else raw)


def _line(fields: list[Any], separator: str) -> str:
    if separator in ("::", ""):
        return (separator or " ").join(map(str, fields))
    text = io.StringIO()
    csv.writer(text, delimiter=separator, lineterminator="").writerow(fields)
    return text.getvalue()
