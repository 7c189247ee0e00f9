"""One time as applications and files write it, as a number. numpy and pandas are not imported for their values."""

from __future__ import annotations

import math
import numbers
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from pocketrec.device.base.errors import DataError


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
