# SPDX-License-Identifier: Apache-2.0
"""Progress of long work: one callback type, a null object, and a terminal bar.

Library code takes a `Progress` and calls it as ``progress(done, total, note)``; it neither prints nor knows what
a terminal is. The command line passes a `TerminalProgress`; everybody else gets `no_progress` by default.
"""

from __future__ import annotations

import shutil
import sys
import time
from types import TracebackType
from typing import Protocol, TextIO

_REDRAW_SECONDS = 0.1
_LINE_SECONDS = 15.0
_KNOWN = 0.03  # share of the work by which its rate is known


class Progress(Protocol):
    """Called now and then by long work; cheap enough to be called at every step."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Say that `done` of `total` units are finished (0 <= done <= total; total 0 = not known).

        Args:
            done: units finished.
            total: units in all; 0 where that is not known.
            note: a few words shown after the bar, such as ``epoch 3, loss 5.81``.
        """


def no_progress(done: int, total: int, note: str = "") -> None:
    """The null object: says nothing."""


class TerminalProgress:
    """A bar on a terminal; on anything else a line every 15 seconds. Both say the unit and about how long it takes yet.

    The time that is left follows from what was done since the first call, so that work which continues does not count
    what an earlier call did. Fewer units done than before, or another total, are work of another kind, whose rate is
    its own. Use as a context manager, so that the line is ended whatever happens::

        with TerminalProgress("train") as progress:
            train(..., progress=progress)
    """

    def __init__(self, label: str, stream: TextIO | None = None, unit: str = "") -> None:
        """Show `label` before the bar on `stream` (default: standard error), and what is counted (``bytes``: in MB)."""
        self.label, self.unit = label, unit
        self._stream = sys.stderr if stream is None else stream
        self._terminal = self._stream.isatty()
        self._started = time.monotonic()
        self._next = 0.0 if self._terminal else self._started + _LINE_SECONDS
        self._last = (0, 0, "")
        self._first: tuple[int, float] | None = None  # what was done at the first call of this work, and when that was
        self._shown = False

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Draw, unless the last drawing was a moment ago."""
        now = time.monotonic()
        if self._first is None or done < self._last[0] or total != self._last[1]:
            self._first = done, now
        self._last = (done, total, note)
        if now < self._next:
            return
        self._next = now + (_REDRAW_SECONDS if self._terminal else _LINE_SECONDS)
        self._draw(now)

    def __enter__(self) -> TerminalProgress:
        """Start the clock."""
        self._started = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Draw the final state and end the line."""
        if self._terminal and (self._shown or self._last != (0, 0, "")):
            self._draw(time.monotonic())
            self._stream.write("\n")
            self._stream.flush()

    def _draw(self, now: float) -> None:
        done, total, note = self._last
        self._shown = True
        seconds = now - self._started
        left, amount = self._left(done, total, now), _amount(done, total, self.unit)
        if not self._terminal:
            rest = f", about {_duration(left)} left" if left is not None else ""
            self._stream.write(f"{self.label}: {amount} after {_duration(seconds)}{rest} {note}".rstrip() + "\n")
        else:
            width = max(shutil.get_terminal_size().columns, 40)
            rest = f" {_duration(left)} left" if left is not None else f" {_duration(seconds)}"
            text = f"{self.label:<10} {_bar(done, total, 24)} {amount}{rest}  {note}"
            self._stream.write("\r" + text[: width - 1].ljust(width - 1))
        self._stream.flush()

    def _left(self, done: int, total: int, now: float) -> float | None:
        """Seconds that the rest takes at the rate since its first call; None = not known yet, or nothing is left."""
        if self._first is None or not self._first[0] + _KNOWN * total <= done < total:
            return None
        return (now - self._first[1]) * (total - done) / (done - self._first[0])


def _amount(done: int, total: int, unit: str) -> str:
    if unit == "bytes":
        return (f"{done / 1e6:.1f}/{total / 1e6:.1f}" if total else f"{done / 1e6:.1f}") + " MB"
    return (f"{done}/{total}" if total else f"{done}") + (f" {unit}" if unit else "")


def _duration(seconds: float) -> str:
    """Such as ``48 s``, ``12 min`` or ``3.5 h``."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _bar(done: int, total: int, width: int) -> str:
    full = round(width * min(done / total, 1.0)) if total else 0
    return "[" + "#" * full + "." * (width - full) + "]"
