# SPDX-License-Identifier: Apache-2.0
"""Times of events: numbers in any unit, or dates, which become unix seconds.

Dates are ISO 8601, also with slashes (2020/09/13) and with a final UTC, or of the form that `DataConfig.time_format`
gives. A column is taken as dates where more of its texts are dates than numbers; dates without a zone are UTC. What is
neither is told apart by why (`Words`), for a message that a person can act on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pandas as pd

from pocketrec.cloud.data.text import NUL
from pocketrec.device.base.errors import ConfigError

_SECOND = 1_000_000_000  # nanoseconds
EXAMPLES = 20  # texts kept of each kind and block

#: Kinds of a text.
NUMBER, DATE, EMPTY, NOT_FINITE, DAY_OR_MONTH, NO_SUCH_DATE, OTHER_FORMAT, HOLDS_NUL, NEITHER = range(9)
_FORMAT_KEY = 'set data.time_format, such as "%d/%m/%Y %H:%M"'
Words: Final = {
    NUMBER: "is a number, where most times are dates",
    DATE: "is a date, where most times are numbers",
    EMPTY: "is empty or missing",
    NOT_FINITE: "is not a finite number",
    DAY_OR_MONTH: f"may have the day or the month first: {_FORMAT_KEY}",
    NO_SUCH_DATE: "is not a day of the calendar from 1677-09-22 to 2262-04-11",
    OTHER_FORMAT: "has not the form of data.time_format",
    HOLDS_NUL: "holds a NUL byte",
    NEITHER: f"is neither a number nor an ISO 8601 date: {_FORMAT_KEY}, if it is a time",
}
"""Why a text of each kind cannot be used."""

_DAY_OR_MONTH = re.compile(r"\s*\d{1,2}[-/. ](\d{1,2}|[A-Za-z]{3})[-/. ]\d{2,4}\b.*")
_YEAR_FIRST = re.compile(
    r"\s*(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:(?:T|\s+)(\d{1,2})(:\d\d(?::\d\d(?:\.\d+)?)?)?)?\s*(.*?)\s*"
)
_ZONE = re.compile(r"(?i:utc|gmt|z)|[-+]\d\d(?::?\d\d)?|")


@dataclass(frozen=True)
class TextTimes:
    """What a block of times may mean; a text is a number, a date, or neither."""

    numbers: np.ndarray
    """int64 (n,), float64 where they are not all whole; 0 where there is none."""
    kinds: np.ndarray | None
    """uint8 (n,): NUMBER, DATE, EMPTY, ...; None where all are NUMBER."""
    nanoseconds: np.ndarray
    """int64 (n,) since 1970, empty where no text is a date; 0 where there is none."""
    examples: dict[int, str] = field(default_factory=dict)
    """Row -> text, of the first rows of each kind."""

    def __len__(self) -> int:
        return len(self.numbers)

    def of(self, kind: int) -> np.ndarray:
        """bool (n,): whether a text is of a kind."""
        return np.full(len(self), kind == NUMBER) if self.kinds is None else self.kinds == kind

    @property
    def is_number(self) -> np.ndarray:
        """bool (n,): whether it is a finite number."""
        return self.of(NUMBER)

    @property
    def is_date(self) -> np.ndarray:
        """bool, of `nanoseconds`."""
        return self.of(DATE)[: len(self.nanoseconds)]


@dataclass(frozen=True)
class Times:
    """A whole column of times."""

    values: np.ndarray
    """int64 or float64 (n,); 0 where unreadable. Dates are unix seconds."""
    kinds: np.ndarray | None
    """uint8 (n,) as of `TextTimes`; None where all are NUMBER."""
    kind: int
    """NUMBER or DATE: what the column is taken for."""
    examples: dict[int, str]
    """Row -> text, of some rows of each kind."""

    @property
    def good(self) -> np.ndarray:
        """bool (n,): which can be used."""
        return np.ones(len(self.values), bool) if self.kinds is None else self.kinds == self.kind


def read_texts(column: pd.Series, time_format: str = "") -> TextTimes:
    """Understand a block of texts (a category each, or whole numbers).

    Args:
        column: categories of texts, in which every byte may be a character, or whole numbers.
        time_format: what every time is written in, as of `datetime.strptime`; empty: a number or a date.

    Raises:
        ConfigError: `time_format` is no such format.
    """
    if column.dtype.kind == "i" and not time_format:
        numbers = column.to_numpy(np.int64)
        first = {row: str(number) for row, number in enumerate(numbers[:EXAMPLES].tolist())}
        return TextTimes(numbers, None, np.zeros(0, np.int64), first)
    if not isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype("string").astype("category")
    codes = column.cat.codes.to_numpy()
    text = pd.Series(column.cat.categories, dtype="string")
    if time_format:
        values, kinds, dates = np.zeros(len(text), np.int64), np.full(len(text), OTHER_FORMAT, np.uint8), None
        dates = _in_format(text, time_format)
    else:
        values, kinds = _numbers(text)
        dates = _dates(text.where(kinds == NEITHER)) if (kinds == NEITHER).any() else None
    if dates is not None:
        kinds[dates.notna().to_numpy()] = DATE
    kinds[(text == "").to_numpy(dtype=bool)] = EMPTY
    left = np.flatnonzero(kinds >= OTHER_FORMAT)
    if len(left):
        kinds[left] = [_why_not(word, int(kind)) for word, kind in zip(text[left], kinds[left], strict=True)]
    stamps = np.zeros(0, np.int64) if dates is None or not (kinds == DATE).any() else _at(_nanoseconds(dates), codes)
    row_kinds = np.append(kinds, np.uint8(EMPTY))[codes]
    return TextTimes(_at(values, codes), row_kinds, stamps, _examples(text, codes, row_kinds))


def join_times(blocks: Sequence[TextTimes]) -> Times:
    """The blocks of a column: dates, where they are more than the numbers."""
    numbers = sum(int(block.is_number.sum()) for block in blocks)
    dates = sum(int(block.is_date.sum()) for block in blocks)
    texts = sum(len(block) - int(block.of(EMPTY).sum()) for block in blocks)
    examples: dict[int, str] = {}
    begin = 0
    for block in blocks:
        examples |= {begin + row: text for row, text in block.examples.items()}
        begin += len(block)
    kinds = None
    if any(block.kinds is not None for block in blocks):
        kinds = np.concatenate([np.full(len(b), NUMBER, np.uint8) if b.kinds is None else b.kinds for b in blocks])
    if 2 * numbers < texts and dates > numbers:
        stamps = np.concatenate([_fill(block.nanoseconds, len(block)) for block in blocks])
        return Times(_whole_seconds(stamps), kinds, DATE, examples)
    whole = all(block.numbers.dtype.kind == "i" for block in blocks)
    parts = [block.numbers.astype(np.int64 if whole else np.float64, copy=False) for block in blocks]
    values = parts[0] if len(parts) == 1 else np.concatenate([*parts, np.zeros(0, np.int64 if whole else np.float64)])
    return Times(values, kinds, NUMBER, examples)


def _numbers(text: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Values, int64 where all numbers are whole, else float64; and kinds: NUMBER, NOT_FINITE or NEITHER."""
    numbers = pd.to_numeric(text, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    good = np.isfinite(numbers)
    kinds = np.where(good, NUMBER, np.where(np.isinf(numbers), NOT_FINITE, NEITHER)).astype(np.uint8)
    values: np.ndarray = np.zeros(len(text), np.int64)
    if not good.any():
        return values, kinds
    if (np.abs(numbers[good]) <= 2**63).all():  # rounded: the last before 2^63 are 2^63 as doubles
        exact = pd.to_numeric(text[good])  # again without the others, so that large whole numbers stay exact
        if exact.dtype.kind in "iI":
            values[good] = exact.to_numpy(dtype=np.int64)
            return values, kinds
    values = np.zeros(len(text), np.float64)
    values[good] = [float(word) for word in text[good]]
    return values, kinds


def _dates(text: pd.Series) -> pd.Series:
    """The texts that are dates and no bare numbers (20240131 is a number); NaT for the others."""
    is_date = text.str.contains("[-/.]", regex=True, na=False)
    dates = pd.to_datetime(text.where(is_date), format="ISO8601", utc=True, errors="coerce")
    left = np.flatnonzero(is_date & dates.isna())
    if not len(left):
        return dates
    plain = pd.Series([_as_iso(word) for word in text.iloc[left]], dtype="string")
    again = pd.to_datetime(plain, format="ISO8601", utc=True, errors="coerce")
    found = again.notna().to_numpy()
    if found.any():
        stamps = dates.to_numpy(dtype="datetime64[ns]").copy()
        stamps[left[found]] = again[found].to_numpy(dtype="datetime64[ns]")
        dates = pd.Series(stamps).dt.tz_localize("UTC")
    return dates


def _as_iso(text: str) -> str | None:
    """2020/9/13 8:05 UTC as 2020-09-13T08:05Z; None for what has not the year first."""
    match = _YEAR_FIRST.fullmatch(text)
    if not match or not _ZONE.fullmatch(match[6]) or (match[6] and not match[4]):
        return None
    year, month, day, hour, rest, zone = match.groups()
    clock = "" if hour is None else f"T{hour:>02}{rest or ':00'}"
    return f"{year}-{month:>02}-{day:>02}{clock}{'Z' if zone.upper() in ('UTC', 'GMT') else zone.upper()}"


def iso_date(text: str) -> str:
    """A date that a person wrote, in the form that `datetime.fromisoformat` takes; other texts as they are."""
    return _as_iso(text) or text


def _in_format(text: pd.Series, time_format: str) -> pd.Series:
    try:
        return pd.to_datetime(text, format=time_format, utc=True, errors="coerce")
    except ValueError as error:
        reason = f"data.time_format {time_format!r} cannot be used ({error})"
        raise ConfigError(f"{reason}: write it with the codes of strftime, such as %Y-%m-%d") from None


def _why_not(text: str, kind: int) -> int:
    """Kind of a text that is neither number nor date, or not in the format."""
    if NUL.decode("latin-1") in text or "\0" in text:
        return HOLDS_NUL
    if kind == OTHER_FORMAT:
        return kind
    if _YEAR_FIRST.match(text) and _as_iso(text):
        return NO_SUCH_DATE
    if _overflows(text):
        return NOT_FINITE
    return DAY_OR_MONTH if _DAY_OR_MONTH.fullmatch(text) else NEITHER


def _overflows(text: str) -> bool:
    """Whether Python reads a number that is not finite."""
    try:
        return not np.isfinite(float(text))
    except ValueError:
        return False


def _examples(text: pd.Series, codes: np.ndarray, kinds: np.ndarray) -> dict[int, str]:
    found: dict[int, str] = {}
    for kind in np.unique(kinds).tolist():
        if kind != EMPTY:
            rows = np.flatnonzero(kinds == kind)[:EXAMPLES].tolist()
            found |= {row: _shown(str(text.iloc[codes[row]]), kind) for row in rows}
    return found


def _shown(text: str, kind: int) -> str:
    """A text as it is shown: whole numbers alike, however a block of them was read."""
    whole = text.strip().lstrip("+-")
    return str(int(text)) if kind == NUMBER and whole.isascii() and whole.isdecimal() else text


def _fill(values: np.ndarray, size: int) -> np.ndarray:
    return values if len(values) == size else np.zeros(size, values.dtype)


def _at(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """`values` at `codes`, 0 where a code is -1."""
    return np.append(values, values.dtype.type(0))[codes]


def _nanoseconds(dates: pd.Series) -> np.ndarray:
    return np.where(dates.notna().to_numpy(), dates.astype("datetime64[ns, UTC]").astype("int64").to_numpy(), 0)


def _whole_seconds(nanoseconds: np.ndarray) -> np.ndarray:
    """Seconds: int64 where all are whole, else float64."""
    return nanoseconds // _SECOND if (nanoseconds % _SECOND == 0).all() else nanoseconds / _SECOND
