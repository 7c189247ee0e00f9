"""The shapes of interaction logs: how a file's rows are cut into named columns.

Known are CSV and TSV with a header, Parquet, RecBole's .inter, and the publishers' own files of Taobao
(UserBehavior.csv), RecSys Challenge 2015 (yoochoose-clicks.dat), MovieLens (u.data, ratings.dat, ratings.csv) and
Amazon's ratings without a header (user,item,rating,timestamp).
A file compressed with gzip is read as it lies, whatever its name. This module does not look at values.
"""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, cast

from pocketrec.cloud.config.data import DataConfig
from pocketrec.device.base.errors import DataError

_GZIP = b"\x1f\x8b"
_HEAD = 1 << 16  # bytes looked at to tell the format
_SHOWN = 20  # columns named in an error
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
BOM = b"\xef\xbb\xbf"


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
    gzip: bool
    aliases: dict[str, str]
    """Other names of columns: what a configuration may say -> the name in `columns`."""

    def find(self, name: str, key: str, path: Path) -> str:
        """The column that a configuration's `name` stands for.

        Raises:
            DataError: there is none; the message names it, what there is, and the `key` to set.
        """
        for candidate in (name, self.aliases.get(name, "")):
            if candidate and candidate in self.columns:
                return candidate
        there = [printable(column) for column in self.columns if column]
        there = there if len(there) <= _SHOWN else [*there[:_SHOWN], "..."]
        raise DataError(
            f"{path} has no column {name!r} (it has {', '.join(there)}): set {key} to one of them"
            + (", or give the file a header line" if self.header else "")
        )


_TAOBAO = re.compile(r"[^,]+,[^,]+,[^,]+,(pv|buy|cart|fav),-?\d+")
_YOOCHOOSE = re.compile(r"[^,]+,\d{4}-\d\d-\d\dT[^,]+,[^,]+,[^,]*")
_RATINGS = re.compile(r"[^,]+,[^,]+,\d+(\.\d*)?,\d{9,}")
_UDATA = re.compile(r"\d+\t\d+\t[\d.]+\t\d+")


def sniff(path: Path, config: DataConfig) -> Layout:
    """Tell the layout of a file, by `config.format` or, for ``auto``, by its first lines.

    Raises:
        DataError: the file is unreadable, empty, or has not the promised form.
    """
    head, compressed = _head(path)
    if head.startswith(_UTF16):
        raise DataError(f"{path} is UTF-16: convert it to UTF-8")
    if not head.removeprefix(BOM).strip():
        raise DataError(f"{path} is empty: name a log with at least one event")
    name = config.format
    if name == "auto":
        name = "parquet" if head.startswith(b"PAR1") else _guess(head)
    if name == "parquet":
        return Layout("parquet", "", [], 0, False, False, {})
    lines = _lines(head)
    filled = [line for line in lines if line.strip()]
    try:
        layout = _LAYOUTS[name](filled)
    except csv.Error as error:
        raise DataError(f"cannot read the header of {path}: {reason(error)}: mend it") from None
    return replace(layout, header=lines.index(filled[0]) + 1 if layout.header else 0, gzip=compressed)


def printable(text: str) -> str:
    """A piece of a file as it may stand in a message: one line, no control characters, not long."""
    clean = "".join(character if character.isprintable() else "?" for character in text)
    return clean if len(clean) <= 60 else clean[:57] + "..."


def _lines(head: bytes) -> list[str]:
    return head.decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n").split("\n")


def unpacked(file: BinaryIO, compressed: bool) -> BinaryIO:
    """The bytes of an open file, decompressed where it is compressed with gzip."""
    return cast(BinaryIO, gzip.open(file)) if compressed else file


def _head(path: Path) -> tuple[bytes, bool]:
    try:
        with open(path, "rb") as file:
            compressed = file.read(2) == _GZIP
            file.seek(0)
            return unpacked(file, compressed).read(_HEAD), compressed
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {path}: {reason(error)}: mend or replace the file") from None


def reason(error: BaseException) -> str:
    """One line that says what an error was about."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split()).rstrip(".")


def _guess(head: bytes) -> str:
    lines = [line for line in _lines(head) if line.strip()][:6]
    first = lines[0]
    if ":token" in first:
        return "inter"
    if all(_RATINGS.fullmatch(line) for line in lines[:2]):  # the first too: a header would not match
        return "ratings"
    for line in lines:  # not the first alone: it may be one of the file's bad rows
        if "::" in line or _UDATA.fullmatch(line):
            return "movielens"
        if _TAOBAO.fullmatch(line):
            return "taobao" if not _is_header(first) else "csv"
        if _YOOCHOOSE.fullmatch(line):
            return "yoochoose" if not _is_header(first) else "csv"
    if "userId" in first and "movieId" in first:
        return "movielens"
    return "tsv" if first.count("\t") > first.count(",") else "csv"


def _is_header(line: str) -> bool:
    return not any(character.isdigit() for character in line)


def _delimited(format: str, separators: str) -> Callable[[list[str]], Layout]:
    def make(lines: list[str]) -> Layout:
        separator = max(separators, key=lines[0].count)  # the first of them where there is none
        columns = [column.strip() for column in next(csv.reader(lines[:1], delimiter=separator))]
        return Layout(format, separator, columns, 1, True, False, {})

    return make


def _inter(lines: list[str]) -> Layout:
    separator = "\t" if "\t" in lines[0] else ","
    columns = [column.strip().partition(":")[0] for column in lines[0].split(separator)]
    other = {"user": "user_id" if "user_id" in columns else "session_id", "item": "item_id", "session": "session_id"}
    return Layout("inter", separator, columns, 1, False, False, other)


def _taobao(lines: list[str]) -> Layout:
    columns = ["user", "item", "category", "behavior", "timestamp"]
    return Layout("taobao", ",", columns, 0, False, False, {})


def _yoochoose(lines: list[str]) -> Layout:
    columns = ["session", "timestamp", "item", "category"]
    return Layout("yoochoose", ",", columns, 0, False, False, {"user": "session"})


def _ratings(lines: list[str]) -> Layout:
    return Layout("ratings", ",", ["user", "item", "rating", "timestamp"], 0, True, False, {})


def _movielens(lines: list[str]) -> Layout:
    other = {"user": "userId", "item": "movieId"}
    if any("::" in line for line in lines):  # one-character separator with empty fields between: the fast parser's way
        columns = ["user", "", "item", "", "rating", "", "timestamp"]
        return Layout("movielens", ":", columns, 0, False, False, {to: name for name, to in other.items()})
    if "movieId" in lines[0]:
        return Layout("movielens", ",", lines[0].strip().split(","), 1, True, False, other)
    columns = ["user", "item", "rating", "timestamp"]
    return Layout("movielens", "\t", columns, 0, False, False, {to: name for name, to in other.items()})


_LAYOUTS: dict[str, Callable[[list[str]], Layout]] = {
    "csv": _delimited("csv", ",;|"),
    "tsv": _delimited("tsv", "\t"),
    "inter": _inter,
    "taobao": _taobao,
    "yoochoose": _yoochoose,
    "movielens": _movielens,
    "ratings": _ratings,
}
