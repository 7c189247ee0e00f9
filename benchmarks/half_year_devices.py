# SPDX-License-Identifier: Apache-2.0
"""The devices of benchmarks/half_year.py: each pulls, learns, recommends and is judged by its own ranks, every week.

Nothing here imports TensorFlow, or anything of the cloud: a device has what a device has.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pocketrec.device import Recommender
from pocketrec.device.delivery.fetch import Patience
from pocketrec.device.delivery.pull import pull

K = 10
_URL = "https://models.invalid/"


class FolderSource:
    """What a static server would answer, from a folder; an application's own HTTP to `pull`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, url: str, headers: Mapping[str, str], timeout: float) -> Answer:
        """The file of an address."""
        file = self.folder / url.removeprefix(_URL)
        return Answer(file.read_bytes() if file.is_file() else None)


class Answer:
    """One answer."""

    def __init__(self, content: bytes | None) -> None:
        self.status, self._content = 404 if content is None else 200, io.BytesIO(content or b"")
        self.headers = {"Content-Length": str(len(content or b""))}
        self.read, self.close = self._content.read, self._content.close


@dataclass(frozen=True)
class Week:
    """What a week came to, summed over the events of a device."""

    events: int
    """Events given, those whose items the model does not know included: they count as misses."""
    served: float
    """Sum of 1 / rank by the weights in use, within the first `K`."""
    plain: float
    """The same by the global weights."""
    choice: str
    """What the guard had decided."""


class Device:
    """One device.

    Args:
        number: which; its files are named after it.
        folder: for its files.
        stored: whether an event store holds the history; else the state alone does.
        away: weeks in which it does not reach the server.
        bundle: a bundle that it keeps for ever; None = it pulls.
    """

    def __init__(
        self, number: int, folder: Path, *, stored: bool, away: range = range(0), bundle: Path | None = None
    ) -> None:
        self.user, self.away, self.stored = f"d{number:04d}", away, stored
        self._bundle = folder / f"{self.user}.model" if bundle is None else bundle
        self._pulls = bundle is None
        self._state, self._store = folder / f"{self.user}.state", folder / f"{self.user}.events" if stored else None
        self.release = -1
        self.given: list[tuple[str, int]] = []
        self.expected: list[tuple[str, int]] = []
        self.empty = 0

    release: int
    """Number of the release that it has; -1 = none."""
    given: list[tuple[str, int]]
    """All events."""
    expected: list[tuple[str, int]]
    """Of these, what a state without a store keeps: items that its model knew, and that each later one knows."""
    empty: int
    """Times at which it was asked, and had fewer than `K` items to recommend."""

    def live(
        self, week: int, www: Path, known: Sequence[frozenset[str]], events: Sequence[tuple[str, int]]
    ) -> Week:
        """One week: pull, learn from what is there, recommend, take what the user does."""
        if not self._pulls:
            self.release = 0
        elif week not in self.away:
            source = FolderSource(www)
            pull(_URL if self.release < 0 else "", self._bundle, users=[self.user], key="none", source=source,
                 patience=Patience(attempts=1))  # fmt: skip
            if self.release != week:
                self.expected = [event for event in self.expected if event[0] in known[week]]
            self.release = week
        self.given += events
        self.expected += [event for event in events if event[0] in known[self.release]]
        with Recommender(self._bundle, user=self.user, state=self._state, store=self._store) as own:
            self._ask(own)
            own.personalise(if_new=True)
            self._ask(own)
            before = own.quality(K).ranked
            choice = str(own.report.get("choice", "global"))
            own.add(events)
            quality = own.quality(K)
            quality = own.quality(K, last=max(1, quality.ranked - before))
            self._ask(own)
            own.save()
        count = quality.ranked - before
        served, plain = (quality.mrr[name] * count for name in ("personal", "global"))
        return Week(len(events), served, plain, choice)

    def lost(self) -> int:
        """Events that should be here and are not."""
        with Recommender(self._bundle, user=self.user, state=self._state, store=self._store) as own:
            if own.store is not None:
                kept = own.store.replay().events
                have = Counter(zip(kept.items, map(int, filter(None, kept.times)), strict=True))
                return (Counter(set(self.given)) - have).total()
            have = Counter(zip(own.history, map(int, own.state.times.tolist()), strict=True))
            return (Counter(set(self.expected)) - have).total()

    def _ask(self, own: Recommender) -> None:
        self.empty += len(own.recommend(K)) < K


def outages(count: int, weeks: int, seed: int) -> list[range]:
    """Weeks in which each of so many devices is away: one in ten for three to eight, in a row; the others never."""
    rng = np.random.default_rng(seed)
    found = [range(0)] * count
    for number in range(0, count, 10):
        length = int(rng.integers(3, 9))
        begin = int(rng.integers(1, max(2, weeks - length)))
        found[number] = range(begin, min(weeks, begin + length))
    return found
