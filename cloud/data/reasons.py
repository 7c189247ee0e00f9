# SPDX-License-Identifier: Apache-2.0
"""Why rows were left out: bad rows by column and reason, filtered rows by filter, with the first lines of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import numpy as np

from pocketrec.cloud.data.blocks import FINE, Forms
from pocketrec.cloud.data.formats import printable
from pocketrec.cloud.data.log import Labels, Reason
from pocketrec.cloud.data.times import Times, Words

SHOWN: Final = 5  # lines that are named of each reason
_EMPTY = "is empty or missing"

LinesOf = Callable[[np.ndarray], list[int]]


def bad_reasons(
    bad: np.ndarray,
    forms: np.ndarray | None,
    ids: Iterable[tuple[str, Labels]],
    time: tuple[str, Times],
    lines_of: LinesOf,
) -> list[Reason]:
    """The reasons of bad rows, each row counted once: its form first, then ids, then the time.

    Args:
        bad: int64 (k,), the bad rows.
        forms: uint8 (rows,) as of `Block.forms`; None where all are fine.
        ids: name and values of each column of ids.
        time: the same of the times.
        lines_of: gives the lines of some rows.
    """
    found: list[Reason] = []

    def take(rows: np.ndarray, column: str, why: str, value: str = "") -> np.ndarray:
        if len(rows):
            found.append(Reason(column, why, len(rows), lines_of(rows[:SHOWN]), printable(value)))
        return rows

    if forms is not None:
        for form, words in Forms.items():
            take(bad[forms[bad] == form], "", words)
        bad = bad[forms[bad] == FINE]
    for name, labels in ids:
        codes = labels.codes[bad]
        empty = codes < 0
        if "" in labels.values:
            blank = [place for place in np.flatnonzero(labels.values == "").tolist() if place not in labels.faults]
            empty |= np.isin(codes, blank)
        take(bad[empty], name, _EMPTY)
        bad, codes = bad[~empty], codes[~empty]
        faulty = np.isin(codes, list(labels.faults))
        whys = np.array([labels.faults[code][0] for code in codes[faulty].tolist()], dtype=object)
        for why in dict.fromkeys(whys.tolist()):
            rows = bad[faulty][whys == why]
            take(rows, name, why, labels.faults[int(labels.codes[rows[0]])][1])
        bad = bad[~faulty]
    name, times = time
    if times.kinds is not None:
        kinds = times.kinds[bad]
        for kind in np.unique(kinds).tolist():
            rows = bad[kinds == kind]
            value = next((times.examples[row] for row in rows.tolist()[:SHOWN] if row in times.examples), "")
            take(rows, name, Words[kind], _readable(value))
    return sorted(found, key=lambda reason: -reason.rows)


def filtered_reasons(
    good: np.ndarray, filters: Iterable[tuple[str, Labels, np.ndarray]], lines_of: LinesOf
) -> list[Reason]:
    """Which filter left good rows out, each row counted with the first that did.

    Args:
        good: bool (rows,).
        filters: of each filter its column, the values, and bool (rows,), which rows pass it.
        lines_of: gives the lines of some rows.
    """
    found, left = [], good
    for name, labels, passes in filters:
        rows = np.flatnonzero(left & ~passes)
        left = left & passes
        if len(rows):
            code = int(labels.codes[rows[0]])
            value = printable(str(labels.values[code])) if code >= 0 else ""
            found.append(Reason(name, "is not among the values of data.keep", len(rows), lines_of(rows[:SHOWN]), value))
    return found


def _readable(text: str) -> str:
    """A text in which every byte is a character, as people read it; other texts as they are."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text
