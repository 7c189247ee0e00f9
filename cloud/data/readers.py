# SPDX-License-Identifier: Apache-2.0
"""Reading interaction logs, of any of the forms in `formats`, into a `Log`.

User and item ids are taken as text, as they are written. Rows that cannot be used (too many fields, an id that is
empty, not UTF-8 or of several lines, an invalid time) are counted, left out and reported with their reasons, and are
fatal above `DataConfig.max_bad_share`. Rows in which all columns that are read are empty count as empty lines: not at
all. Text is read in blocks, and every id is held once: memory is that of the events as numbers (about 24 bytes each)
and of the different ids. This module knows nothing about cut-offs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.config.data import DataConfig
from pocketrec.cloud.data.blocks import BLOCK_BYTES, FINE, Block, Columns, parse_rows, read_blocks
from pocketrec.cloud.data.duplicates import count_duplicates, find_duplicates
from pocketrec.cloud.data.findings import reason_in_words
from pocketrec.cloud.data.formats import Layout, sniff
from pocketrec.cloud.data.labels import Coder, to_labels, usable
from pocketrec.cloud.data.location import find_log
from pocketrec.cloud.data.log import Details, Labels, Log, ReadReport, Reason
from pocketrec.cloud.data.notes import column_notes, id_notes, time_note
from pocketrec.cloud.data.parquet import parquet_columns, read_parquet
from pocketrec.cloud.data.reasons import SHOWN, LinesOf, bad_reasons, filtered_reasons
from pocketrec.cloud.data.synthetic import generate
from pocketrec.cloud.data.times import (
    NUMBER,
    TextTimes,
    Times,
    join_times,
    read_texts,
)
from pocketrec.device.base.errors import ConfigError, DataError

__all__ = ["SHOWN", "SYNTHETIC", "Columns", "count_duplicates", "find_columns", "no_event", "parquet_columns",
           "parse_rows", "read_log", "refuse_bad", "to_labels", "usable"]  # fmt: skip

SYNTHETIC = "synthetic"


@dataclass(frozen=True)
class _Read:
    """A whole log as read."""

    texts: dict[str, Labels]
    """Each text column; -1 where it is empty. Texts that are not UTF-8 are empty in `values`."""
    times: Times
    forms: np.ndarray | None
    """uint8 (rows,) as of `Block.forms`; None where all rows are cut as they should be."""
    lines: LinesOf
    unit: str
    """What lines count: line or row."""


@dataclass
class _Lines:
    """Which line of the file a row is from."""

    starts: list[int] = field(default_factory=list)
    """Row that each block begins with."""
    blocks: list[np.ndarray | int] = field(default_factory=list)
    """`Block.lines`."""

    def of(self, rows: np.ndarray) -> list[int]:
        """Line of each of some rows."""
        found = []
        for row in rows.tolist():
            block = int(np.searchsorted(self.starts, row, "right")) - 1
            lines, place = self.blocks[block], row - self.starts[block]
            found.append(int(lines) + place if isinstance(lines, int) else int(lines[place]))
        return found


def read_log(
    config: DataConfig,
    split_column: str | None = None,
    *,
    block_bytes: int = BLOCK_BYTES,
    progress: Progress = no_progress,
) -> Log:
    """Read the log that `config` names.

    Args:
        config: which log, its columns, and what may be wrong with it.
        split_column: column of the log's own split, read into `Log.labels`; None where it is not used.
        block_bytes: bytes of text held at a time; does not change the log.
        progress: called with the bytes of the file that are read.

    Raises:
        DataError: there is no such log, it cannot be read, a column is missing, it has no event, or too many bad rows.
        ConfigError: the format or an argument of the synthetic generator is unknown.
    """
    if config.set == SYNTHETIC and not config.path:
        if config.category not in ("", "category"):
            raise ConfigError(f"the synthetic log has no column {config.category!r}: set data.category to category")
        if config.privacy:
            raise ConfigError("the synthetic log has no column for data.privacy: leave it empty")
        log = generate(**config.synthetic)
        return log if config.category else replace(log, categories=None)
    path, layout, columns = find_columns(config, split_column)
    notes = column_notes(layout, columns)
    if layout.format == "parquet":
        found = read_parquet(path, columns, config.time_format, progress)
        read = _Read(found.texts, found.times, None, lambda rows: (rows + 1).tolist(), "row")
    else:
        blocks = read_blocks(path, layout, columns, time_as_text=bool(config.time_format), block_bytes=block_bytes,
                             progress=progress)  # fmt: skip
        read = _join(blocks, columns.texts, config.time_format)
    return _make(path, columns, read, config, notes)


def find_columns(config: DataConfig, split_column: str | None = None) -> tuple[Path, Layout, Columns]:
    """The file that `config` names, how it is cut, and the columns that are read; no row is.

    Raises:
        DataError: there is no such file, it is unreadable or empty, or a column is missing.
    """
    path = find_log(config)
    layout = sniff(path, config, split_column)
    if layout.format == "parquet":
        layout = replace(layout, columns=parquet_columns(path))
    return path, layout, Columns.find(layout, config, split_column, path)


def _make(path: Path, columns: Columns, read: _Read, config: DataConfig, notes: list[str]) -> Log:
    texts, times, good = read.texts, read.times.values, read.times.good
    if not columns.time:
        times = np.arange(len(times))
    if read.forms is not None:
        good &= read.forms == FINE
    for name in (columns.user, columns.item):
        good &= usable(texts[name])
    rows, bad, reasons, bad_lines = len(good), int((~good).sum()), [], []
    if bad:
        where = np.flatnonzero(~good)
        bad_lines = read.lines(where[:SHOWN])
        ids = [(name, texts[name]) for name in dict.fromkeys((columns.user, columns.item))]
        reasons = bad_reasons(where, read.forms, ids, (columns.time, read.times), read.lines)
    refuse_bad(path, rows, bad, bad_lines, config, reasons, read.unit)
    passes = [(name, texts[name], texts[name].isin(values)) for name, values in columns.filters.items()]
    kept = good.copy()
    for _, _, passed in passes:
        kept &= passed
    events = int(kept.sum())
    if not events:
        raise no_event(path, bool(good.any()))
    usable_rows = int(good.sum())
    filtered = filtered_reasons(good, passes, read.lines) if events < usable_rows else []
    chosen = np.flatnonzero(kept) if events < rows else None
    notes = notes + _id_notes(columns, read, chosen)
    necessary = _necessary(columns, texts)
    if chosen is not None:
        times, necessary = times[kept], None if necessary is None else necessary[kept]
        wanted = (columns.user, columns.item, columns.label, columns.category)
        texts = {name: column.take(kept) for name, column in texts.items() if name in wanted}
    users, items = texts[columns.user], texts[columns.item]
    if times.dtype.kind == "f" and np.all(np.abs(times) < 2**53) and np.all(times == np.floor(times)):
        times = times.astype(np.int64)
    notes += time_note(columns.time, times, read.times.kind == NUMBER)
    duplicates, again = find_duplicates(users.codes, items.codes, times, SHOWN)
    lines = read.lines(again if chosen is None else chosen[again])
    report = ReadReport(str(path), rows, events, bad, bad_lines, usable_rows - events, duplicates,
                        Details(read.unit, reasons, filtered, lines, notes))  # fmt: skip
    labels, categories = (texts[name] if name else None for name in (columns.label, columns.category))
    return Log(users, items, times, labels, report, categories, necessary)


def _necessary(columns: Columns, texts: dict[str, Labels]) -> np.ndarray | None:
    """bool (rows,): events that carry a value of each column of `Columns.privacy`; None where it names none."""
    if not columns.privacy:
        return None
    return np.logical_and.reduce([texts[name].isin(values) for name, values in columns.privacy.items()])


def _id_notes(columns: Columns, read: _Read, used: np.ndarray | None) -> list[str]:
    found = []
    for name in dict.fromkeys((columns.user, columns.item)):
        found += id_notes(name, read.texts[name], used, read.lines, read.unit)
    return found


def refuse_bad(
    path: Path,
    rows: int,
    bad: int,
    bad_lines: list[int],
    config: DataConfig,
    reasons: Iterable[Reason] = (),
    unit: str = "line",
) -> None:
    """Refuse a log with too many bad rows.

    Args:
        path: of the log.
        rows: number of rows.
        bad: number of bad rows.
        bad_lines: lines of the first few, named where no reasons are given.
        config: its `DataConfig.max_bad_share` is the limit.
        reasons: why rows are bad, the most frequent first.
        unit: what lines count.

    Raises:
        DataError: the share is above the limit.
    """
    if not rows or bad <= config.max_bad_share * rows:
        return
    why = "; ".join(reason_in_words(reason, unit) for reason in list(reasons)[:SHOWN])
    named = f"({unit}s {', '.join(map(str, bad_lines))}{', ...' if bad > len(bad_lines) else ''})"
    advice = "correct them, check data.format and the columns"
    if bad < rows:
        advice += f", or raise data.max_bad_share ({config.max_bad_share:g})"
    raise DataError(f"{path}: {bad} of {rows} rows cannot be read {named}{': ' + why if why else ''}: {advice}")


def no_event(path: Path, good: bool) -> DataError:
    """The error for a log of which no row is left; `good`: there are rows that can be read."""
    what = "no row passes data.keep: change it" if good else "it has no event: name another log"
    return DataError(f"{path}: {what}")


def _join(blocks: Iterator[Block], text: set[str], time_format: str) -> _Read:
    coders = {name: Coder() for name in text}
    codes: dict[str, list[np.ndarray]] = {name: [np.zeros(0, np.int32)] for name in text}
    times: list[TextTimes] = []
    forms: list[tuple[int, np.ndarray | None]] = []
    lines, rows = _Lines(), 0
    for block in blocks:
        times.append(read_texts(block.times, time_format))
        for name, (values, places) in block.texts.items():
            codes[name].append(coders[name].codes(values)[places])
        forms.append((len(block), block.forms))
        lines.starts.append(rows)
        lines.blocks.append(block.lines)
        rows += len(block)
    joined = join_times(times)
    times.clear()
    odd = None
    if any(form is not None for _, form in forms):
        odd = np.concatenate([np.zeros(size, np.uint8) if form is None else form for size, form in forms])
    labels = {name: coders[name].labels(np.concatenate(codes.pop(name))) for name in text}
    return _Read(labels, joined, odd, lines.of, "line")
