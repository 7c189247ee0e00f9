# SPDX-License-Identifier: Apache-2.0
"""What reading a log found, in lines for a person: at the terminal, in errors, and in the report."""

from __future__ import annotations

from pathlib import Path

from pocketrec.cloud.data.log import Details, ReadReport, Reason


def findings(report: ReadReport) -> list[str]:
    """The lines: rows read and left out, why, and what was done about what could be meant otherwise."""
    details = report.details
    name = Path(report.source).name or report.source
    left_out = f"{report.bad:,} left out{_bracketed(report.bad_lines, report.bad, details)}"
    said = [f"{rows(report.rows)} of {name}, {left_out}"]
    said += [f"left out: {reason_in_words(reason, details.unit)}" for reason in details.bad]
    if report.filtered:
        said.append(f"{rows(report.filtered)} filtered by data.keep")
        said += [f"filtered: {reason_in_words(reason, details.unit)}" for reason in details.filtered]
    if report.duplicates:
        first = _bracketed(details.duplicate_lines, report.duplicates, details)
        repeat = "repeats" if report.duplicates == 1 else "repeat"
        said.append(f"{rows(report.duplicates)} {repeat} the user, item and time of another{first}: kept")
    return said + details.notes


def reason_in_words(reason: Reason, unit: str) -> str:
    """``timestamp 'soon' in line 3 is not a number (2 rows: lines 3, 9)``."""
    subject = f"{reason.column} {reason.value!r}" if reason.value else reason.column
    first = f"{subject} in {unit} {reason.lines[0]}" if subject else f"{unit} {reason.lines[0]}"
    more = f" ({rows(reason.rows)}: {_numbers(reason.lines, reason.rows, unit)})" if reason.rows > 1 else ""
    return f"{first} {reason.why}{more}"


def rows(count: int) -> str:
    """``1 row``, ``2,000 rows``."""
    return f"{count:,} row{'s' if count != 1 else ''}"


def where(lines: list[int], count: int, details: Details) -> str:
    """``lines 2, 3, 4, ...``: the first of so many; empty where none is known."""
    return _numbers(lines, count, details.unit) if lines else ""


def _bracketed(lines: list[int], count: int, details: Details) -> str:
    return f" ({where(lines, count, details)})" if lines else ""


def _numbers(lines: list[int], count: int, unit: str) -> str:
    more = ", ..." if count > len(lines) else ""
    return f"{unit}{'s' if count > 1 else ''} {', '.join(map(str, lines))}{more}"
