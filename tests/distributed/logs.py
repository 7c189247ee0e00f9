# SPDX-License-Identifier: Apache-2.0
"""Logs with everything that a reader can meet, drawn again from a seed."""

from __future__ import annotations

import datetime
import random
from collections.abc import Callable

HEADER = "user,item,timestamp,kind,split,cat\n"
_BEGIN = 1_500_000_000
_BAD = ("a,b,c,d", "only", "u,,5,buy,train,c", "u,\udce9x,7,buy,train,c", "a,b,c,d,e,f,g,h", "", "nouser,i1,nan,,,")

Row = Callable[[random.Random, str, str, int], str]


def rows(count: int, row: Row, seed: int = 1) -> list[str]:
    """Rows of 300 users, whose ids sort differently as code points and as UTF-16, and 200 items."""
    rng = random.Random(seed)
    return [
        row(rng, f"{rng.choice('abé漢𝄞￰')}{rng.randrange(300)}", f"i{int(200 * rng.random() ** 3)}",
            _BEGIN + rng.randrange(5000))
        for _ in range(count)
    ]  # fmt: skip


def full(rng: random.Random, user: str, item: str, time: int) -> str:
    """A row under `HEADER`; now and then an item has another category than its own."""
    category = f"c{int(item[1:]) % 7}{rng.choice(['', '', '', 'x'])}"
    return f"{user},{item},{time},{rng.choice(['buy', 'pv', ''])},{rng.choice(['train', 'train', 'test'])},{category}"


def yoochoose(rng: random.Random, user: str, item: str, time: int) -> str:
    """A row of RSC15 with a fraction of a second."""
    date = datetime.datetime.fromtimestamp(time, datetime.UTC).replace(tzinfo=None).isoformat()
    return f"{user},{date}.{rng.choice(['000', '500'])}Z,{item},0"


def nanoseconds(rng: random.Random, user: str, item: str, time: int) -> str:
    """A row whose time does not fit a double."""
    return f"{user},{item},{time}{rng.randrange(10**9):09d}"


def quoted(rng: random.Random, user: str, item: str, time: int) -> str:
    """A row with quotes."""
    return f'"{user}","{item}",{time},"a ""b"" "'


def with_bad(lines: list[str]) -> bytes:
    """The lines with one of each kind of bad row among them, again and again."""
    for number, place in enumerate(range(0, len(lines), 97)):
        lines[place] = _BAD[number % len(_BAD)]
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape")


def text(header: str, lines: list[str]) -> bytes:
    """A whole file."""
    return (header + "\n".join(lines) + "\n").encode("utf-8")
