# SPDX-License-Identifier: Apache-2.0
"""The shapes of interaction logs: how a file's rows are cut into named columns.

Known are CSV and TSV with a header, Parquet (a file, or a folder of part files), RecBole's .inter, and the publishers'
own files of Taobao (UserBehavior.csv), RecSys Challenge 2015 (yoochoose-clicks.dat), MovieLens (u.data, ratings.dat,
ratings.csv) and Amazon's ratings without a header (user,item,rating,timestamp). A file with a header is read by its
header: the shape of a file without one is assumed only where the first line has it and holds none of the names that
the configuration asks for. This module does not look at values.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path

from pocketrec.cloud.config.data import DataConfig
from pocketrec.cloud.data.packing import PARQUET, PLAIN, packing_of, reason
from pocketrec.cloud.data.text import NUL, read_head
from pocketrec.device.base.errors import DataError

_SHOWN = 20  # columns named in an error
_MOVIELENS = {"user": "userId", "item": "movieId"}


@dataclass(frozen=True)
class Layout:
    """How to cut one file."""

    format: str
    """parquet, or the name of a text format."""
    separator: str
    """One character between fields."""
    columns: list[str]
    """Name of each field in order; empty names are not read."""
    header: int
    """Lines before the first event: 0, or those up to and with the header."""
    quoted: bool
    """Whether a field may be in double quotes."""
    packing: str
    """How the file is packed, as of `pocketrec.cloud.data.packing`."""
    aliases: dict[str, str]
    """Other names of columns: what a configuration may say -> the name in `columns`."""
    hint: str = ""
    """What to say where a column is not found."""

    def find(self, name: str, key: str, path: Path) -> str:
        """The column that a configuration's `name` stands for.

        Raises:
            DataError: it does not exist; the message names it, what there is, and the `key` to set.
        """
        for candidate in (name, self.aliases.get(name, "")):
            if candidate and candidate in self.columns:
                return candidate
        there = [printable(column) for column in self.columns if column]
        there = there if len(there) <= _SHOWN else [*there[:_SHOWN], "..."]
        raise DataError(
            f"{path} has no column {name!r} (it has {', '.join(there)}): set {key} to one of them"
            + (", or give the file a header line" if self.header else "")
            + (', or to "" where the rows are in the order of time' if key == "data.timestamp" else "")
            + self.hint
        )


_SHAPES = {
    "taobao": re.compile(r"[^,]+,[^,]+,[^,]+,(pv|buy|cart|fav),-?\d+"),
    "yoochoose": re.compile(r"[^,]+,\d{4}-\d\d-\d\dT[^,]+,[^,]+,[^,]*"),
    "ratings": re.compile(r"[^,]+,[^,]+,\d+(\.\d*)?,\d{9,}"),
    "movielens": re.compile(r"\d+\t\d+\t-?[\d.]+\t\d+|\d+::\d+::-?[\d.]+::\d+"),
}
"""Of a line of each file without a header."""
_INTER = re.compile(r"[^:]+:(token|token_seq|float|float_seq)")


def sniff(path: Path, config: DataConfig, split_column: str | None = None) -> Layout:
    """Tell the layout of a file, by `config.format` or, for ``auto``, by its first line.

    Args:
        path: the file, or a folder of Parquet files.
        config: its format and the names of its columns.
        split_column: column of the log's own split, where it is read.

    Raises:
        DataError: the file is unreadable, empty, or has not the promised form.
    """
    packing = PARQUET if path.is_dir() else packing_of(path)
    if packing == PARQUET:
        if config.format not in ("auto", "parquet"):
            raise DataError(f"{path} is Parquet and not {config.format}: set data.format to auto")
        return Layout("parquet", "", [], 0, False, PLAIN, {})
    if config.format == "parquet":
        raise DataError(f"{path} is not Parquet: set data.format to auto, or replace the file")
    head = read_head(path, packing)
    if not head.strip():
        raise DataError(f"{path} is empty: name a log with at least one event")
    lines = _lines(head)
    filled = [line for line in lines if line.strip()]
    if NUL in next(line for line in head.split(b"\n") if line.strip()):
        raise DataError(f"{path} has NUL bytes in its first line: is it UTF-16 or no text? Convert it to UTF-8")
    wanted = _names(config, split_column)
    name = _guess(filled[0], wanted) if config.format == "auto" else config.format
    try:
        layout = _LAYOUTS[name](filled, wanted)
    except csv.Error as error:
        raise DataError(f"cannot read the header of {path}: {reason(error)}: correct it") from None
    later = next((shape for line in filled[1:6] for shape in _SHAPES if _SHAPES[shape].fullmatch(line)), "")
    hint = f"; its later lines look like {later}: data.format = {later} reads them so" if later else ""
    return replace(layout, header=lines.index(filled[0]) + 1 if layout.header else 0, packing=packing,
                   hint=hint if layout.header else "")  # fmt: skip


def _names(config: DataConfig, split_column: str | None) -> set[str]:
    """Names of columns that a configuration asks for."""
    names = {config.user, config.item, config.timestamp, config.category, split_column or "", *config.keep}
    return names - {""}


def printable(text: str) -> str:
    """A piece of a file as it may stand in a message: one line, no control characters, not long."""
    clean = "".join(character if character.isprintable() else "?" for character in text)
    return clean if len(clean) <= 60 else clean[:57] + "..."


def _lines(head: bytes) -> list[str]:
    return head.decode("utf-8", "replace").split("\n")


def _guess(first: str, wanted: Collection[str]) -> str:
    """The format by the first line that is not blank."""
    if all(_INTER.fullmatch(field.strip()) for field in re.split("[\t,]", first)):
        return "inter"
    shape = next((name for name, shape in _SHAPES.items() if shape.fullmatch(first.strip("\r\n"))), "")
    if shape and not set(re.split("[\t,]|::", first)) & set(wanted):
        return shape
    return "tsv" if first.count("\t") > first.count(",") else "csv"


def _delimited(format: str, separators: str) -> Callable[[list[str], Collection[str]], Layout]:
    def make(lines: list[str], wanted: Collection[str]) -> Layout:
        def cut(separator: str) -> list[str]:
            reader = csv.reader(lines[:2], delimiter=separator)
            columns = [column.strip() for column in next(reader)]
            if reader.line_num > 1:
                raise csv.Error("a quote is left open in it")
            return columns

        def fits(separator: str) -> tuple[int, int]:
            count = lines[0].count(separator)
            return (len(set(wanted) & set(cut(separator))) if count else 0), count

        separator = max(separators, key=fits)  # the first of them where there is none
        columns = cut(separator)
        known = _MOVIELENS if set(_MOVIELENS.values()) <= set(columns) else {}
        return Layout(format, separator, columns, 1, True, PLAIN, known)

    return make


def _inter(lines: list[str], wanted: Collection[str]) -> Layout:
    separator = "\t" if "\t" in lines[0] else ","
    columns = [column.strip().partition(":")[0] for column in lines[0].split(separator)]
    other = {"user": "user_id" if "user_id" in columns else "session_id", "item": "item_id", "session": "session_id"}
    return Layout("inter", separator, columns, 1, False, PLAIN, other)


def _taobao(lines: list[str], wanted: Collection[str]) -> Layout:
    columns = ["user", "item", "category", "behavior", "timestamp"]
    return Layout("taobao", ",", columns, 0, False, PLAIN, {})


def _yoochoose(lines: list[str], wanted: Collection[str]) -> Layout:
    columns = ["session", "timestamp", "item", "category"]
    return Layout("yoochoose", ",", columns, 0, False, PLAIN, {"user": "session"})


def _ratings(lines: list[str], wanted: Collection[str]) -> Layout:
    return Layout("ratings", ",", ["user", "item", "rating", "timestamp"], 0, True, PLAIN, {})


def _movielens(lines: list[str], wanted: Collection[str]) -> Layout:
    other = {to: name for name, to in _MOVIELENS.items()}
    if "movieId" in lines[0]:
        return replace(_LAYOUTS["csv"](lines, wanted), format="movielens")
    if "\t" not in lines[0] and any("::" in line for line in lines):
        # A separator of one character with empty fields between is what the fast parser can do.
        columns = ["user", "", "item", "", "rating", "", "timestamp"]
        return Layout("movielens", ":", columns, 0, False, PLAIN, other)
    return Layout("movielens", "\t", ["user", "item", "rating", "timestamp"], 0, False, PLAIN, other)


_LAYOUTS: dict[str, Callable[[list[str], Collection[str]], Layout]] = {
    "csv": _delimited("csv", ",;|"),
    "tsv": _delimited("tsv", "\t"),
    "inter": _inter,
    "taobao": _taobao,
    "yoochoose": _yoochoose,
    "movielens": _movielens,
    "ratings": _ratings,
}
