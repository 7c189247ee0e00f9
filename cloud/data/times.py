"""Times of events: numbers in any unit, or ISO 8601 dates, which become unix seconds.

A column is taken as dates where more of its texts are dates than numbers; dates without a zone are UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

_SECOND = 1_000_000_000  # nanoseconds


def is_numeric(column: pd.Series) -> bool:
    """Whether a column holds numbers (or dates of a date type), so that no text has to be understood."""
    return isinstance(column.dtype, pd.DatetimeTZDtype) or column.dtype.kind in "Miuf"


def parse_times(column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Read a column of times.

    Args:
        column: numbers, texts or dates (n,).

    Returns:
        times: int64 or float64 (n,); 0 where unreadable. good: bool (n,), False where unreadable or not finite.
    """
    return join_numbers([column]) if is_numeric(column) else join_texts([read_texts(column)])


def join_numbers(columns: Sequence[pd.Series]) -> tuple[np.ndarray, np.ndarray]:
    """`parse_times` of the blocks of a column, each of numbers."""
    if len(columns) == 1 and (isinstance(columns[0].dtype, pd.DatetimeTZDtype) or columns[0].dtype.kind == "M"):
        return _seconds(pd.to_datetime(columns[0], utc=True))
    whole = all(c.dtype.kind == "i" or (c.dtype.kind == "u" and c.max() < 2**63) for c in columns)
    values = [column.to_numpy(dtype=np.int64 if whole else np.float64) for column in columns]
    times = np.concatenate(values) if len(values) != 1 else values[0]
    good = np.ones(len(times), bool) if whole else np.isfinite(times)
    return times if whole else np.where(good, times, 0.0), good


@dataclass(frozen=True)
class TextTimes:
    """What a block of texts may mean; a text is a number, a date, or neither."""

    numbers: np.ndarray
    """int64 (n,), float64 where they are not all whole; 0 where there is none."""
    is_number: np.ndarray
    """bool (n,): whether it is a finite number."""
    nanoseconds: np.ndarray
    """int64 (n,) since 1970, empty where no text is a date; 0 where there is none."""
    is_date: np.ndarray
    """bool, as long."""
    texts: int
    """Number of texts that are not empty."""


def read_texts(column: pd.Series) -> TextTimes:
    """Understand a block of texts (a category each, or whole numbers)."""
    size = len(column)
    if column.dtype.kind == "i":
        return TextTimes(column.to_numpy(np.int64), np.ones(size, bool), *_no_dates(), size)
    if not isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype("string").astype("category")
    codes = column.cat.codes.to_numpy()
    text = pd.Series(column.cat.categories, dtype="string")
    numbers = pd.to_numeric(text, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    good = np.isfinite(numbers)
    values: np.ndarray = np.where(good, numbers, 0.0)
    if good.any() and (np.abs(numbers[good]) < 2**63).all():
        exact = pd.to_numeric(text[good])  # again without the others, so that large whole numbers stay exact
        if exact.dtype.kind == "i":
            values = np.zeros(len(text), np.int64)
            values[good] = exact.to_numpy(dtype=np.int64)
    elif not good.any():
        values = values.astype(np.int64)
    dates = _dates(text.where(~good)) if not good.all() else pd.Series([], dtype="datetime64[ns, UTC]")
    if not dates.notna().any():
        return TextTimes(_at(values, codes), _at(good, codes), *_no_dates(), int((codes >= 0).sum()))
    stamps = _nanoseconds(dates)
    return TextTimes(_at(values, codes), _at(good, codes), _at(stamps, codes), _at(dates.notna().to_numpy(), codes),
                     int((codes >= 0).sum()))  # fmt: skip


def join_texts(blocks: Sequence[TextTimes]) -> tuple[np.ndarray, np.ndarray]:
    """`parse_times` of the blocks of a column of texts: dates, where they are more than the numbers."""
    numbers = sum(int(block.is_number.sum()) for block in blocks)
    dates = sum(int(block.is_date.sum()) for block in blocks)
    if 2 * numbers < sum(block.texts for block in blocks) and dates > numbers:
        sizes = [len(block.numbers) for block in blocks]
        stamps = np.concatenate([_fill(block.nanoseconds, size) for block, size in zip(blocks, sizes, strict=True)])
        good = np.concatenate([_fill(block.is_date, size) for block, size in zip(blocks, sizes, strict=True)])
        return _whole_seconds(stamps), good
    whole = all(block.numbers.dtype.kind == "i" for block in blocks)
    times = np.concatenate([block.numbers.astype(np.int64 if whole else np.float64) for block in blocks])
    return times, np.concatenate([block.is_number for block in blocks])


def _dates(text: pd.Series) -> pd.Series:
    """The texts that are ISO 8601 dates and no bare numbers (20240131 is a number); NaT for the others."""
    is_date = text.str.contains("-", regex=False, na=False)
    return pd.to_datetime(text.where(is_date), format="ISO8601", utc=True, errors="coerce")


def _no_dates() -> tuple[np.ndarray, np.ndarray]:
    return np.zeros(0, np.int64), np.zeros(0, bool)


def _fill(values: np.ndarray, size: int) -> np.ndarray:
    return values if len(values) == size else np.zeros(size, values.dtype)


def _at(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """`values` at `codes`, 0 where a code is -1."""
    return np.append(values, values.dtype.type(0))[codes]


def _nanoseconds(dates: pd.Series) -> np.ndarray:
    return np.where(dates.notna().to_numpy(), dates.astype("datetime64[ns, UTC]").astype("int64").to_numpy(), 0)


def _seconds(dates: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    return _whole_seconds(_nanoseconds(dates)), dates.notna().to_numpy()


def _whole_seconds(nanoseconds: np.ndarray) -> np.ndarray:
    """Seconds: int64 where all are whole, else float64."""
    return nanoseconds // _SECOND if (nanoseconds % _SECOND == 0).all() else nanoseconds / _SECOND
