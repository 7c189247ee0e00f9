"""Made-up logs for everything that people hand in."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pocketrec.cloud.config import DataConfig
from pocketrec.cloud.data.log import Labels, Log
from pocketrec.cloud.data.readers import read_log

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


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Writes a file and reads it; every share of bad rows passes."""

    def write_and_read(content: str | bytes, name: str = "log.csv", **options: Any) -> Log:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_log(DataConfig(path=str(path), **{"max_bad_share": 0.99, **options}))

    return write_and_read
