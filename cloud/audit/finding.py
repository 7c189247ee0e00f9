# SPDX-License-Identifier: Apache-2.0
"""What a check found, and the verdict over all of them. Knows nothing about how anything is found."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

OK: Final = "ok"
INFO: Final = "info"
WARN: Final = "warn"
FAIL: Final = "fail"
CANNOT_TELL: Final = "cannot tell"
VERDICTS: Final = (FAIL, WARN, CANNOT_TELL, INFO, OK)


@dataclass(frozen=True)
class Finding:
    """The outcome of one check."""

    verdict: str
    """One of `VERDICTS`; only `FAIL` changes the exit status."""
    sentence: str
    """What was counted, in one sentence."""
    number: float | None = None
    """The count or figure that the verdict rests on."""
    share: float | None = None
    """It as a share, in [0, 1]."""
    figures: dict[str, Any] = field(default_factory=dict)
    """Further figures for programs."""


@dataclass(frozen=True)
class Row:
    """A finding under the name of its check."""

    check: str
    finding: Finding
    advice: str
    """What to do; empty where nothing is to be done."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        plain: dict[str, Any] = _plain({"check": self.check, **asdict(self.finding), "advice": self.advice})
        return plain


@dataclass(frozen=True)
class Verdict:
    """All that an audit has to say."""

    name: str
    """What was audited."""
    rows: tuple[Row, ...]
    """One for each check that could be run, in the order of the table."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Check -> what it would have needed."""
    notes: tuple[str, ...] = ()
    """What reading the files found, a line each."""

    @property
    def status(self) -> int:
        """Exit status: 1 where a check failed, else 0."""
        return int(any(row.finding.verdict == FAIL for row in self.rows))

    def of(self, check: str) -> Finding:
        """The finding of a check.

        Raises:
            KeyError: it was not run.
        """
        return {row.check: row.finding for row in self.rows}[check]

    def counts(self) -> dict[str, int]:
        """Number of checks by verdict; verdicts without one are left out."""
        found = [row.finding.verdict for row in self.rows]
        return {verdict: found.count(verdict) for verdict in VERDICTS if verdict in found}

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "format": 1,
            "audit": self.name,
            "status": self.status,
            "counts": self.counts(),
            "checks": [row.to_dict() for row in self.rows],
            "skipped": self.skipped,
            "notes": list(self.notes),
        }


def summary_line(counts: dict[str, int]) -> str:
    """Counts of verdicts in words, such as ``1 fail, 3 warn, 8 ok``."""
    return ", ".join(f"{number} {verdict}" for verdict, number in counts.items()) or "nothing to check"


def as_text(verdict: Verdict, width: int = 118) -> str:
    """The table for people."""
    lines = [f"audit of {verdict.name}: {summary_line(verdict.counts())}", ""]
    lines.append(f"{'check':<22}{'verdict':<12}{'number':>12}{'share':>9}  what was found")
    for row in verdict.rows:
        found = row.finding
        share = "" if found.share is None else f"{100 * found.share:.1f} %"
        head = f"{row.check:<22}{found.verdict:<12}{_number(found.number):>12}{share:>9}  "
        lines += _wrapped(head, found.sentence, width)
        if row.advice:
            lines += _wrapped(" " * len(head), f"What to do: {row.advice}", width)
    for needs in dict.fromkeys(verdict.skipped.values()):
        names = ", ".join(check for check, wanted in verdict.skipped.items() if wanted == needs)
        lines.append(f"not checked without {needs}: {names}")
    lines += [f"note: {note}" for note in verdict.notes]
    return "\n".join(lines)


def _plain(value: Any) -> Any:
    """Without numbers that JSON has not."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"


def _wrapped(head: str, text: str, width: int) -> Sequence[str]:
    lines = textwrap.wrap(text, max(40, width - len(head)))
    return [(head if not place else " " * len(head)) + line for place, line in enumerate(lines)]
