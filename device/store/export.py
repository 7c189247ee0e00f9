# SPDX-License-Identifier: Apache-2.0
"""A user's own events as a CSV file."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from pocketrec.device.base.files import write_atomic
from pocketrec.device.store.events import Events


def export_events(path: str | Path, events: Events) -> int:
    """Write events to a CSV file, readable by its owner only, by time: ``item,timestamp``; gives their number.

    A column ``category`` follows where one is known.
    An event without a time gets the latest one before it. Where none has a time there is no such column, and the
    order is that in which they came.

    Raises:
        StorageError: it cannot be written.
    """
    import csv
    import io

    given = [time for time in events.times if time is not None]
    latest = min(given, default=0.0)
    categories = events.categories if any(events.categories) else []
    rows: list[tuple[float, str, str]] = []
    for place, (item, time) in enumerate(zip(events.items, events.times, strict=True)):
        latest = max(latest, latest if time is None else time)
        rows.append((latest if time is None else time, item, categories[place] if categories else ""))
    rows.sort(key=lambda row: row[0])

    def write(file: BinaryIO) -> None:
        text = io.TextIOWrapper(file, encoding="utf-8", errors="surrogatepass", newline="")
        writer = csv.writer(text, lineterminator="\n")
        timed = bool(given) or not rows
        writer.writerow(["item", *["timestamp"] * timed, *["category"] * bool(categories)])
        for time, item, category in rows:
            writer.writerow([item, *[_number(time)] * timed, *[category] * bool(categories)])
        text.flush()
        text.detach()

    write_atomic(path, write, mode=0o600)
    return len(rows)


def _number(value: float) -> str:
    """Shortest text of a number: 1010 and not 1010.0."""
    return repr(value) if value % 1 or abs(value) >= 2**53 else str(int(value))
