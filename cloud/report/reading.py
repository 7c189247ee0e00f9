# SPDX-License-Identifier: Apache-2.0
"""The section on the log: rows read and left out, why, and what was done about what could be meant otherwise."""

from __future__ import annotations

from html import escape
from pathlib import Path

from pocketrec.cloud.data.findings import rows, where
from pocketrec.cloud.data.log import Details, ReadReport, Reason
from pocketrec.cloud.report import page
from pocketrec.cloud.report.words import count

_HEAD = ("", "rows", "column", "first value", "why", "first")


def reading(report: ReadReport | None) -> str:
    """The section; empty where nothing is known of the reading."""
    if report is None or not report.rows:
        return ""
    details = report.details
    words = f"{rows(report.rows)} of {Path(report.source).name or report.source}: {count(report.events)} became events."
    lines = [_row("left out", reason, details) for reason in details.bad]
    if report.bad and not details.bad:
        lines.append(["left out", count(report.bad), "", "", "", escape(where(report.bad_lines, report.bad, details))])
    lines += [_row("filtered", reason, details) for reason in details.filtered]
    if report.filtered and not details.filtered:
        lines.append(["filtered", count(report.filtered), "", "", "", ""])
    if report.duplicates:
        lines.append(["kept", count(report.duplicates), "", "", "repeats the user, item and time of another row",
                      escape(where(details.duplicate_lines, report.duplicates, details))])  # fmt: skip
    if not lines:
        words += " None was left out."
    notes = "".join(f"<li>{escape(note)}</li>" for note in details.notes)
    table = page.table(_HEAD, lines) if lines else ""
    return page.section("The log", words, table + (f"<ul>{notes}</ul>" if notes else ""))


def _row(what: str, reason: Reason, details: Details) -> list[str]:
    return [what, count(reason.rows), *map(escape, (reason.column, reason.value, reason.why)),
            escape(where(reason.lines, reason.rows, details))]  # fmt: skip
