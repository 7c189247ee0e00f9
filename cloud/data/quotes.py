# SPDX-License-Identifier: Apache-2.0
"""Quoted fields that continue over line ends: which lines belong to one record, and which were swallowed by mistake.

The rule is that of Python's csv module and of pandas: a quote opens a field only at its beginning, and two quotes
within stand for one. A text with line breaks, such as a review, is such a field; so is what a quote that is not closed
makes of the rows up to the next one. The two are told apart by the lines within: where they have the shape of rows of
the table, all lines of the record are bad rows. This module does not look at ids.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

LONGEST: Final = 1 << 20  # bytes of a record over several lines


@dataclass(frozen=True)
class Shape:
    """What a row of the table looks like."""

    separator: str
    """One character."""
    fields: int
    """Number of fields of a row."""
    filled: tuple[int, ...]
    """Places of the fields that a row cannot be without: ids, and the time, which comes last."""
    timed: bool
    """Whether the last of `filled` is a time, in which there is a digit."""

    def fits(self, line: bytes) -> bool:
        """Whether a line on its own, its quotes overlooked, has the shape of a row."""
        fields = line.replace(b'"', b"").split(self.separator.encode())
        if len(fields) != self.fields or not all(fields[place].strip() for place in self.filled):
            return False
        return not self.timed or any(48 <= byte <= 57 for byte in fields[self.filled[-1]])


@dataclass(frozen=True)
class Records:
    """The records of a text."""

    content: bytes
    """The text up to the record that is not closed; lines that were swallowed have one field too many, and no other."""
    lines: np.ndarray
    """int64 (records,): line that each record begins in, counted from 0."""
    swallowed: np.ndarray
    """bool (records,): a line of a record that is a bad row for it."""
    rest: bytes
    """The last record, where its quote is open at the end."""
    rest_line: int
    """Line that `rest` begins in, counted from 0; the number of lines where there is none."""
    too_long: int | None
    """Line of the first record of more than `LONGEST` bytes over several lines, counted from 0."""


@cache
def _record(separator: str) -> re.Pattern[bytes]:
    """Matches one record with its line end; possessive, for a quote that could close must not be passed over."""
    mark = re.escape(separator.encode())
    field = rb'(?:"(?:[^"]++|"")*+"[^%s\n]*+|[^%s\n"][^%s\n]*+|)' % (mark, mark, mark)
    return re.compile(rb"%s(?:%s%s)*+\n" % (field, mark, field))


def split_records(content: bytes, shape: Shape) -> Records:
    """Cut a text of whole lines into records."""
    parts: list[bytes] = []
    lines: list[int] = []
    swallowed: list[bool] = []
    line = place = 0
    too_long = None
    bad = shape.separator.encode() * shape.fields + b"x\n"
    match = _record(shape.separator).scanner(content).match  # type: ignore[attr-defined]
    while found := match():
        record = found.group()
        count = record.count(b"\n")
        place = found.end()
        if count > 1 and len(record) > LONGEST and too_long is None:
            too_long = line
        if count > 1 and is_swallowed(record, shape):
            numbers = [line + number for number, text in enumerate(record.split(b"\n")[:-1]) if text.strip()]
            parts.append(bad * len(numbers))
            lines += numbers
            swallowed += [True] * len(numbers)
        else:
            parts.append(record)
            lines.append(line)
            swallowed.append(False)
        line += count
    rest = content[place:]
    if len(rest) > LONGEST and too_long is None:
        too_long = line
    return Records(b"".join(parts), np.array(lines, np.int64), np.array(swallowed, bool), rest, line, too_long)


def is_swallowed(record: bytes, shape: Shape) -> bool:
    """Whether a record over several lines has rows of the table in it.

    It has where a line that lies wholly within a quoted field has the shape of a row, or where both its first and its
    last have: a text alone gives its first line too few fields.
    """
    first, *within, last = record.removesuffix(b"\n").split(b"\n")
    return any(map(shape.fits, within)) or (shape.fits(first) and shape.fits(last))
