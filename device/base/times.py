# SPDX-License-Identifier: Apache-2.0
"""One time as applications and files write it, as a number. numpy and pandas are not imported for their values."""

from __future__ import annotations

import math
import numbers
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

from pocketrec.device.base.errors import DataError

#: Units of a clock: how many of them make a second. Which one a time is in is told by its size, from 1973 to 2128.
_UNITS: Final = (1.0, 1e3, 1e6, 1e9)
_EARLIEST, _LATEST = 1e8, 5e9  # Unix seconds


def per_second(time: float) -> float:
    """Units of a clock's time in a second: 1, 1e3, 1e6 or 1e9; 0 for a number that is no time since 1970.

    Numbers outside of 1973 to 2128 in each of these units are places in an order, or times with a start of their own.
    """
    return next((unit for unit in _UNITS if _EARLIEST * unit <= time < _LATEST * unit), 0.0)


def in_unit_of(time: float, other: float | None) -> float:
    """A clock's time in the unit of another clock's time; as it is where one of them is no clock's.

    So an application may hand over milliseconds, or a date, which is in seconds, for a log in another unit.
    """
    wanted, given = (0.0 if other is None else per_second(other)), per_second(time)
    return time / given * wanted if wanted and given and wanted != given else time


def seconds_of(value: object) -> float | None:
    """A time as a number: a number stays what it is, in the log's unit; a date becomes Unix seconds.

    Args:
        value: None (no time), a number (numpy's too), a text with a number or an ISO 8601 date, a ``datetime`` or
            ``date``, a ``numpy.datetime64`` or ``pandas.Timestamp``. A date without a zone is in UTC.

    Raises:
        DataError: it is not one of these, or not finite.
    """
    if value is None:
        return None
    number = math.nan
    if isinstance(value, str):
        number = seconds_of_text(value)
    elif isinstance(value, datetime | date):
        number = _seconds_of_date(value)
    elif not isinstance(value, bool):
        number = _seconds_of_number(value)
    if not math.isfinite(number):
        shown = repr(value)
        shown = shown if len(shown) <= 60 else f"{shown[:40]}... ({len(shown)} characters)"
        raise DataError(f"{shown} is not a time: give a number in the log's unit, a datetime, or an ISO 8601 date")
    return number


def seconds_of_text(text: str) -> float:
    """A number, or an ISO 8601 date as Unix seconds (UTC where it names no zone); NaN where it is neither."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return _seconds_of_date(datetime.fromisoformat(text.strip()))
    except ValueError:
        return math.nan


def _seconds_of_date(value: date) -> float:
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    try:
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, TypeError):  # pandas.NaT is a datetime
        return math.nan


def _seconds_of_number(value: Any) -> float:
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    if kind == "M" and not getattr(value, "shape", ()):
        micros = int(value.astype("datetime64[us]").astype("int64"))
        return micros / 1e6 if micros != -(2**63) else math.nan  # NaT
    if not (isinstance(value, numbers.Real | Decimal) or (kind in "iuf" and kind and not value.shape)):
        return math.nan
    try:
        return float(value)
    except (OverflowError, ValueError, TypeError):
        return math.nan
