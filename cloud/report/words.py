# SPDX-License-Identifier: Apache-2.0
"""How figures are written in report.html."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

DASH: Final = "\N{EN DASH}"


def figure(value: float | None, digits: int = 4) -> str:
    """A quality figure; a dash where there is none."""
    return DASH if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def count(value: float | None) -> str:
    """A whole number with separators."""
    return DASH if value is None else f"{value:,.0f}"


def change(value: float | None, digits: int = 4) -> str:
    """A difference with its sign."""
    if value is None or not math.isfinite(value):
        return DASH
    return f"{value:+.{digits}f}".replace("-", "\N{MINUS SIGN}")


def times(ratio: float | None) -> str:
    """A ratio, such as ``1.10 \N{MULTIPLICATION SIGN}``."""
    return DASH if ratio is None or not math.isfinite(ratio) else f"{ratio:.2f} \N{MULTIPLICATION SIGN}"


def interval(entry: Mapping[str, Any]) -> str:
    """The ends of the interval of a difference, such as ``+0.0180 to +0.0550``."""
    if entry.get("low") is None or entry.get("high") is None:
        return DASH
    return f"{change(entry['low'])} to {change(entry['high'])}"


def percent(value: float | None, digits: int = 0) -> str:
    """A share as per cent."""
    return DASH if value is None or not math.isfinite(value) else f"{100 * value:.{digits}f} %"


def size(value: float | None) -> str:
    """Bytes in a unit that suits them (powers of ten)."""
    if value is None:
        return DASH
    for unit, power in (("MB", 1e6), ("kB", 1e3)):
        if value >= power:
            return f"{value / power:.3g} {unit}"
    return f"{value:.0f} B"


def lengths(low: int, high: int | None) -> str:
    """A group of history lengths, such as ``3 to 5`` or ``more than 50``."""
    if high is None:
        return f"more than {low - 1}"
    return f"{low}" if low == high else f"{low} to {high}"
