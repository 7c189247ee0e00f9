# SPDX-License-Identifier: Apache-2.0
"""Made-up rows, files of them, and what they should be read as."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence

from pocketrec.cloud.data.log import Labels, Log

HEADER = ("user", "item", "timestamp")
BEGIN = 1_600_000_000


def rows(count: int = 40, users: int = 4, items: int = 5) -> list[tuple[str, str, str]]:
    """Events of some users in the order of time."""
    return [(f"u{n % users}", f"i{n * 7 % items}", str(BEGIN + 60 * n)) for n in range(count)]


def table(lines: Sequence[Sequence[str]], header: Sequence[str] = HEADER, separator: str = ",") -> str:
    """A text with a header."""
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator, lineterminator="\n").writerows([header, *lines])
    return text.getvalue()


def texts(labels: Labels | None) -> list[str]:
    """A column as a list."""
    assert labels is not None
    return [str(labels.values[code]) for code in labels.codes]


def events(log: Log) -> list[tuple[str, str, float]]:
    """The events as a list."""
    return list(zip(texts(log.users), texts(log.items), log.timestamps.tolist(), strict=True))


def expected(lines: Sequence[Sequence[str]]) -> list[tuple[str, str, float]]:
    """Events of rows whose times are whole numbers."""
    return [(user, item, int(time)) for user, item, time in lines]


Read = Callable[..., Log]
