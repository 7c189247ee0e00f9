# SPDX-License-Identifier: Apache-2.0
"""Reading anybody's tables with pandas alone: CSV, TSV, Parquet, and the shapes that other libraries write.

RecBole's ``.inter``, MovieLens and NCF files without a header, adjacency lists (``user item item ...``, LightGCN). This
module knows columns and their usual names, and not what a table is for.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from pocketrec.device.base.errors import DataError

USERS: Final = ("user", "user_id", "userid", "uid", "session", "session_id", "sessionid", "visitor", "customer_id")
ITEMS: Final = ("item", "item_id", "itemid", "iid", "movieid", "movie_id", "product", "product_id", "sid", "asin",
                "article_id", "track_id", "song_id", "parent_asin")  # fmt: skip
TIMES: Final = ("timestamp", "time", "ts", "date", "datetime", "unix", "t", "t_dat")
SCORES: Final = ("score", "prediction", "pred", "rating", "value", "logit", "probability", "count", "popularity")

_UNIX = 1e8  # a third column of larger numbers is a time, of smaller ones a rating
HEAD: Final = 1 << 16  # bytes that tell the shape of a file


@dataclass(frozen=True)
class Columns:
    """Names of columns that the user gave; empty = found by their usual names."""

    user: str = ""
    item: str = ""
    time: str = ""


USUAL: Final = Columns()


def read_table(path: Path, option: str, third: str) -> pd.DataFrame:
    """A file as columns of text, named by its header or, without one, by their number.

    Args:
        path: the file.
        option: of the command line, for messages.
        third: what the third of three columns without a header is: ``time`` (unless its numbers are small) or
            ``score``.

    Raises:
        DataError: the file is missing, empty or unreadable.
    """
    if is_parquet(path, option):
        return _parquet(path)
    head = [line for line in read_text(path, option, HEAD).splitlines() if line.strip()]
    if not head:
        raise DataError(f"{path} is empty: name a file with at least one row for {option}")
    first = head[0]
    separator = separator_of(first)
    if not separator:
        return _adjacency(path, option, head)
    fields = [field.strip() for field in next(csv.reader([first], delimiter=separator if separator != "::" else ":"))]
    if separator == "::":
        fields = first.split("::")
    names = [field.partition(":")[0].lstrip("\ufeff") for field in fields]
    header = ":token" in first or _is_header(names, head[1].split(separator) if len(head) > 1 else [])
    try:
        table = pd.read_csv(
            path, sep=separator, header=None, skiprows=_blank(path, option) + header, dtype=str,
            keep_default_na=False, skip_blank_lines=True, encoding="utf-8", compression=compression_of(path),
            engine="python" if separator == "::" else "c", names=names if header else list(range(len(fields))),
            index_col=False,
        )  # fmt: skip
    except pd.errors.EmptyDataError:
        table = pd.DataFrame({name: pd.Series([], dtype=str) for name in names})
    except (ValueError, OSError, pd.errors.ParserError) as error:
        raise DataError(f"cannot read {path}: {' '.join(str(error).split())}: correct the file") from None
    return table if header else _named(table, third, path, option)


def to_times(column: pd.Series, where: str) -> pd.Series:
    """Times as numbers: numbers as they stand, ISO 8601 dates in unix seconds.

    Raises:
        DataError: a text is neither.
    """
    if pd.api.types.is_datetime64_any_dtype(column):
        if column.isna().any():
            raise DataError(f"{where} has empty times: leave such rows out")
        return _seconds(pd.to_datetime(column, utc=True), where)
    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.notna().all():
        if numbers.abs().max() == float("inf"):
            raise DataError(f"{where} holds an infinite time: correct it")
        return numbers
    dates = pd.to_datetime(column.where(numbers.isna()), format="ISO8601", utc=True, errors="coerce")
    if dates.isna().all() or dates.isna().sum() > numbers.notna().sum():
        bad = column[numbers.isna() & dates.isna()]
        raise DataError(f"{where}: {str(bad.iloc[0])[:40]!r} is neither a number nor an ISO 8601 date: correct it")
    if numbers.notna().any():
        raise DataError(f"{where} mixes numbers and dates: use one of them")
    if dates.isna().any():
        bad = column[dates.isna()]
        raise DataError(f"{where}: {str(bad.iloc[0])[:40]!r} is not an ISO 8601 date: correct it")
    return _seconds(dates, where)


def _seconds(dates: pd.Series, where: str) -> pd.Series:
    try:
        return dates.astype("datetime64[ns, UTC]").astype("int64") / 1e9
    except ValueError:  # before 1678 or after 2261
        raise DataError(f"{where} has a date out of range: correct it") from None


def texts_of(column: pd.Series) -> Any:
    """Values as text, without white space around them."""
    return column.astype("string").str.strip()


def find_column(table: pd.DataFrame, given: str, usual: tuple[str, ...]) -> str | None:
    """The column with the given name, or else with one of the usual names in any case; None where there is none."""
    if given:
        return given if given in table else None
    lower = {str(name).lower(): str(name) for name in reversed(list(table))}
    return next((lower[name] for name in usual if name in lower), None)


def no_column(path: Path, name: str, table: pd.DataFrame, option: str) -> DataError:
    """The error for a file without a column that is needed."""
    there = ", ".join(str(column) for column in list(table)[:12])
    return DataError(f"{path} has no column {name!r} (it has {there}): name it with {option}")


def _named(table: pd.DataFrame, third: str, path: Path, option: str) -> pd.DataFrame:
    """Names for the columns of a file without a header."""
    width = table.shape[1]
    if width == 3 and third == "time":
        numbers = pd.to_numeric(table[2], errors="coerce")
        third = "rating" if numbers.notna().all() and numbers.max() < _UNIX else "time"
    if width == 4 and table[1].str.match(r"\d{4}-\d\d-\d\d").all():  # RecSys Challenge 2015
        return table.set_axis(["session", "time", "item", "category"], axis=1)
    names = {2: ["user", "item"], 3: ["user", "item", third], 4: ["user", "item", "rating", "time"],
             5: ["user", "item", "category", "behavior", "time"]}.get(width)  # fmt: skip
    if names is None:
        raise DataError(f"{path} has {width} columns and no header: give it one such as user,item,timestamp "
                        f"for {option}")  # fmt: skip
    return table.set_axis(names, axis=1)


def _adjacency(path: Path, option: str, head: list[str]) -> pd.DataFrame:
    """Lines of ``user item item ...`` (LightGCN), or ``user item`` (SASRec), without times."""
    users, items = [], []
    for line in read_text(path, option).splitlines():
        user, *rest = line.split() or [""]
        if not user:
            continue
        users += [user] * len(rest)
        items += rest  # none for a user without items
    if not items:
        raise DataError(f"{path} has one column, {head[0].strip()[:40]!r}: {option} needs user and item")
    return pd.DataFrame({"user": users, "item": items}, dtype=object)


def separator_of(line: str) -> str:
    """What parts the fields of a line; empty = white space."""
    if "::" in line:
        return "::"
    best = max("\t,;|", key=line.count)
    return best if best in line else ""


def _is_header(fields: list[str], second: list[str]) -> bool:
    """Whether a first line names columns: usual names, no digit, or no number above a line with one."""
    lower = [field.strip().lower() for field in fields]
    if any(field in USERS or field in ITEMS for field in lower):
        return True
    digits = any(character.isdigit() for field in lower for character in field)
    return not digits or (any(map(_is_number, second)) and not any(map(_is_number, lower)))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _blank(path: Path, option: str) -> int:
    """Empty lines before the first that is not."""
    text = read_text(path, option, HEAD)
    return len(text) and next((place for place, line in enumerate(text.splitlines()) if line.strip()), 0)


def is_parquet(path: Path, option: str) -> bool:
    """Whether a file is Parquet.

    Raises:
        DataError: it is missing or cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PAR1"
    except IsADirectoryError:
        raise DataError(f"{path} is a folder: name a file for {option}") from None
    except FileNotFoundError:
        raise DataError(f"no file {path}: name an existing one for {option}") from None
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror}): name another file for {option}") from None


def compression_of(path: Path) -> Any:
    """``gzip`` where a file is compressed with it, else None."""
    with path.open("rb") as file:
        return "gzip" if file.read(2) == b"\x1f\x8b" else None


def read_text(path: Path, option: str, limit: int = -1) -> str:
    """A file as text, of UTF-8; its first `limit` bytes where that is not negative.

    Raises:
        DataError: it is missing, unreadable, or not UTF-8.
    """
    is_parquet(path, option)
    try:
        with contextlib.closing(gzip.open(path) if compression_of(path) else path.open("rb")) as file:
            content = file.read(limit)
        if content.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise DataError(f"{path} is UTF-16: convert it to UTF-8")
        return content.decode("utf-8-sig", "strict" if limit < 0 else "ignore")
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8 text: convert it") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {path} ({error}): correct or replace the file") from None


def _parquet(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_parquet(path)
        return table if isinstance(table.index, pd.RangeIndex) else table.reset_index()  # a column may be the index
    except ImportError:
        raise DataError(f"reading {path} needs pyarrow: pip install pyarrow, or give CSV") from None
    except Exception as error:  # the engine raises kinds of its own
        raise DataError(f"cannot read {path}: {' '.join(str(error).split())}: correct or replace the file") from None
