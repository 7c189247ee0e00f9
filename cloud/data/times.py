"""Times of events: numbers in any unit, or ISO 8601 dates, which become unix seconds."""

from __future__ import annotations

import numpy as np
import pandas as pd

_SAMPLE = 1000  # texts looked at first


def parse_times(column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Read a column of times.

    The column is taken as dates where it is of a date type, or where more of its texts are dates than numbers. Dates
    without a zone are UTC.

    Args:
        column: numbers, texts or dates (n,).

    Returns:
        times: int64 or float64 (n,); 0 where unreadable. good: bool (n,), False where unreadable or not finite.
    """
    if isinstance(column.dtype, pd.DatetimeTZDtype) or column.dtype.kind == "M":
        return _seconds(pd.to_datetime(column, utc=True))
    if column.dtype.kind == "i" or (column.dtype.kind == "u" and column.max() < 2**63):
        return column.to_numpy().astype(np.int64), np.ones(len(column), bool)
    if column.dtype.kind in "fu":
        values = column.to_numpy(dtype=np.float64)
        good = np.isfinite(values)
        return np.where(good, values, 0.0), good
    text = column.astype("string")
    looks = _dates(text.iloc[:: max(1, len(text) // _SAMPLE)])  # cheap, so that long columns of dates are read once
    dates = _dates(text) if looks.notna().mean() > 0.5 else None
    if dates is not None and dates.notna().mean() > 0.5:
        return _seconds(dates)
    numbers = pd.to_numeric(text, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    good = np.isfinite(numbers)
    if good.sum() * 2 < text.notna().sum():
        dates = _dates(text)
        if dates.notna().sum() > good.sum():
            return _seconds(dates)
    if good.any() and (np.abs(numbers[good]) < 2**63).all():
        whole = pd.to_numeric(text[good])  # again without the bad ones, so that large whole numbers stay exact
        if whole.dtype.kind == "i":
            exact = np.zeros(len(column), np.int64)
            exact[good] = whole.to_numpy(dtype=np.int64)
            return exact, good
    return np.where(good, numbers, 0.0), good


def _dates(text: pd.Series) -> pd.Series:
    """The texts that are ISO 8601 dates and no bare numbers (20240131 is a number); NaT for the others."""
    is_date = text.str.contains("-", regex=False, na=False)
    return pd.to_datetime(text.where(is_date), format="ISO8601", utc=True, errors="coerce")


def _seconds(dates: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    good = dates.notna().to_numpy()
    nanoseconds = np.where(good, dates.astype("datetime64[ns, UTC]").astype("int64").to_numpy(), 0)
    if (nanoseconds % 1_000_000_000 == 0).all():
        return nanoseconds // 1_000_000_000, good
    return nanoseconds / 1e9, good
