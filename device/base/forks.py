# SPDX-License-Identifier: Apache-2.0
"""What has to be done before and after a fork, so that parent and child both continue with whole objects of their own.

A lock that another thread holds at the moment of a fork stays locked in the child for ever, and some libraries (SQLite,
the kernels' thread pools) keep state for each process that no child may use. Python tells of each `os.fork`, so of
multiprocessing's too; a fork inside a library that Python is not told of is noticed by the process's number.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any, Final, Protocol
from weakref import WeakKeyDictionary

#: Seconds that a fork waits for a call of another thread to end.
PATIENCE: Final = 35.0


class Forkable(Protocol):
    """An object that takes part in forks."""

    def before_fork(self) -> None:
        """Called in the thread that forks: hold the own lock, and leave nothing open that a child must not have."""

    def after_fork(self, *, child: bool) -> None:
        """Called in the parent, and in the child: release the lock; the child has only the thread that forked."""


_WATCHED: WeakKeyDictionary[Forkable, int] = WeakKeyDictionary()
_held: list[Forkable] = []
_KEPT: list[object] = []


def watch(thing: Forkable, order: int) -> None:
    """Tell an object of the process's forks as long as it lives.

    Args:
        thing: the object.
        order: those with a smaller number come first before a fork. An object whose lock is held while another's is
            taken needs the smaller one.
    """
    _WATCHED[thing] = order


def keep_for_ever(thing: object) -> None:
    """Never destroy an object that was made before a fork, not at the end of the process either.

    What would destroy it (closing a database, joining threads) would act on what belongs to the parent.
    """
    _KEPT.append(thing)
    with contextlib.suppress(ImportError, AttributeError):
        import ctypes

        increment: Any = ctypes.pythonapi.Py_IncRef
        increment(ctypes.py_object(thing))


def _before() -> None:
    for thing, _ in sorted(_WATCHED.items(), key=lambda entry: entry[1]):
        with contextlib.suppress(Exception):  # no fork fails for this; the child notices
            thing.before_fork()
        _held.append(thing)


def _after(*, child: bool) -> None:
    while _held:
        with contextlib.suppress(Exception):
            _held.pop().after_fork(child=child)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before, after_in_parent=lambda: _after(child=False), after_in_child=lambda: _after(child=True)
    )
