# SPDX-License-Identifier: Apache-2.0
"""How well a device has recommended: ranks of the events before they were learned, and what was decided; with its file.

The file lies beside the state under ``NAME.quality``, a tensor file (`pocketrec.device.contract.tensorfile`) of some
kilobytes whatever the device's age. It has no item and no user, only ranks, the time of the last event that was ranked,
and counts. A runner that does not know it leaves it alone; what was learned meanwhile is not ranked afterwards, for the
state says what was learned. It is written after the state: a crash between the two loses measurements alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pocketrec.device.base import documents
from pocketrec.device.base.files import sweep, write_atomic
from pocketrec.device.contract import tensorfile
from pocketrec.device.personal.watch import BETS, RUNGS, Watch
from pocketrec.device.state.file import quality_of

if TYPE_CHECKING:
    from pocketrec.device.base.array import Array
    from pocketrec.device.store.sealing import Seal

#: Largest rank that is told apart; larger ones, and items that are not offered, are misses.
DEEPEST: Final = 100
#: Ranked events that are kept, the latest ones.
KEPT: Final = 1_000
#: Decisions that are kept, the latest ones.
DECISIONS: Final = 20

_KIND: Final = "pocketrec quality"
_FORMAT: Final = 1
_SEALED: Final = b"pocketrec sealed quality 1\n"
_RANKS: Final = "ranks"


@dataclass(frozen=True)
class Mark:
    """The last event of a history that was ranked, or passed over."""

    time: float
    """Its time, in the log's unit."""
    count: int
    """Events of that time up to it."""
    dropped: int = 0
    """Events that the store had removed then."""

    def index(self, times: Array, dropped: int) -> int:
        """Number of the first events of a history that lie up to the mark.

        Args:
            times: float64 [n], not decreasing, of the history now.
            dropped: events that the store has removed by now, the first ones.
        """
        left = int(np.searchsorted(times, self.time, "left"))
        count = self.count
        if len(times) and left == 0 and times[0] == self.time:  # a log without times: those that went were counted
            count = max(0, count - (dropped - self.dropped))
        return min(len(times), int(np.searchsorted(times, self.time, "right")), left + count)

    @classmethod
    def after(cls, times: Array, index: int, dropped: int) -> Mark | None:
        """The mark behind the first `index` events; None where there are none."""
        if index == 0:
            return None
        time = float(times[index - 1])
        return cls(time, index - int(np.searchsorted(times, time, "left")), dropped)


@dataclass(frozen=True)
class Quality:
    """What is kept of one user; see the top of this module."""

    ranks: Array = field(default_factory=lambda: np.zeros((0, 2), np.uint8))
    """uint8 [n, 2]: of each ranked event the rank by the global weights and by the weights in use, 1 = best, 0 = a
    miss; the oldest first."""
    ranked: int = 0
    """Events ranked so far, with those that are no longer in `ranks`."""
    passed: int = 0
    """Events that were passed over, because too many were new at once."""
    mark: Mark | None = None
    """The last event that was looked at."""
    watch: Watch = field(default_factory=Watch)
    """Whether the weights in use are worse than the global ones."""
    decisions: tuple[Mapping[str, Any], ...] = ()
    """The guard's latest decisions and returns to the global weights, the oldest first: ``history`` (events then),
    ``ranked``, ``choice``, ``reason``, and of the guard's ``events``, ``heldback`` and ``expected_gain``."""
    bound: str = ""
    """What it belongs to: changes where events were forgotten."""
    model_id: str = ""
    """Of the model that the watch is about."""
    generation: int = 0
    """Of the state beside which it was written."""

    def with_ranks(self, ranks: Array) -> Quality:
        """With more ranks, uint8 [m, 2], of the next events."""
        kept = np.concatenate([self.ranks, ranks.astype(np.uint8)])[-KEPT:]
        return dataclasses.replace(self, ranks=kept, ranked=self.ranked + len(ranks))

    def with_decision(self, decision: Mapping[str, Any]) -> Quality:
        """With one more decision."""
        return dataclasses.replace(self, decisions=(*self.decisions, decision)[-DECISIONS:])

    def report(self, k: int, last: int) -> QualityReport:
        """The figures of the latest `last` ranked events for recommendations of `k` items.

        Raises:
            ValueError: k is not in 1..100, or `last` is below 1.
        """
        if not 1 <= k <= DEEPEST or last < 1:
            raise ValueError(f"k must be 1 to {DEEPEST} and last at least 1, not {k} and {last}")
        ranks = self.ranks[-last:].astype(np.float64)  # (n, 2)
        hit = (ranks > 0) & (ranks <= k)
        values = np.where(hit, 1.0 / np.maximum(ranks, 1.0), 0.0)
        recall, mrr = (part.mean(axis=0) if len(ranks) else np.zeros(2) for part in (hit, values))
        return QualityReport(
            k=k, events=len(ranks), ranked=self.ranked, passed=self.passed,
            recall={"global": float(recall[0]), "personal": float(recall[1])},
            mrr={"global": float(mrr[0]), "personal": float(mrr[1])},
            better=int((values[:, 1] > values[:, 0]).sum()), worse=int((values[:, 1] < values[:, 0]).sum()),
            evidence=self.watch.evidence, most=self.watch.most, decisions=[dict(one) for one in self.decisions],
        )  # fmt: skip

    def to_bytes(self) -> bytes:
        """The content of the file."""
        told = {
            "ranked": self.ranked, "passed": self.passed, "generation": self.generation,
            "mark": None if self.mark is None else dataclasses.asdict(self.mark),
            "watch": dataclasses.asdict(self.watch), "decisions": [dict(one) for one in self.decisions],
        }  # fmt: skip
        metadata = {"kind": _KIND, "format": str(_FORMAT), "bound": self.bound, "model_id": self.model_id}
        return tensorfile.dump({_RANKS: self.ranks}, {**metadata, "told": documents.line(told)})

    @classmethod
    def from_bytes(cls, content: bytes) -> Quality | None:
        """The inverse of `to_bytes`; None where the file is damaged or of another version."""
        try:
            read = tensorfile.parse(content)
            told, ranks = documents.parse_table(read.metadata["told"]), read.tensors[_RANKS]
            if read.metadata["kind"] != _KIND or read.metadata["format"] != str(_FORMAT):
                return None
            mark = None if told["mark"] is None else Mark(**told["mark"])
            watch = Watch(**{**told["watch"], "values": tuple(map(float, told["watch"]["values"]))})
            whole = ranks.dtype == np.uint8 and ranks.ndim == 2 and ranks.shape[1] == 2 and watch.most in RUNGS
            if not whole or len(watch.values) != len(BETS) or not 0 < min(watch.values) <= max(watch.values) < np.inf:
                return None
            return cls(
                ranks=ranks, ranked=int(told["ranked"]), passed=int(told["passed"]), mark=mark, watch=watch,
                decisions=tuple(map(dict, told["decisions"])), bound=read.metadata["bound"],
                model_id=read.metadata["model_id"], generation=int(told["generation"]),
            )  # fmt: skip
        except (tensorfile.TensorFileError, KeyError, TypeError, ValueError, documents.DocumentError):
            return None


@dataclass(frozen=True)
class QualityReport:
    """How well this device has recommended; nothing of it leaves the device unless the application sends it."""

    k: int
    """Length of the lists that the figures are about."""
    events: int
    """Ranked events that the figures are about, the latest ones."""
    ranked: int
    """Events ranked so far."""
    passed: int
    """Events that were not ranked, because too many were new at once."""
    recall: dict[str, float]
    """Share of the events whose item was among the first k, by ``global`` and by ``personal`` (the weights in use)."""
    mrr: dict[str, float]
    """Mean of 1 / rank, 0 beyond k, by the same."""
    better: int
    """Events that the weights in use ranked better than the global ones."""
    worse: int
    """Events that they ranked worse."""
    evidence: float
    """How strongly all that was ranked speaks against the weights in use; at `watch.AVERAGE_RUN` the global ones are
    used."""
    most: float
    """Largest share of the personal weights that the guard may choose now."""
    decisions: list[dict[str, Any]]
    """The guard's latest decisions and returns to the global weights, the oldest first."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return dataclasses.asdict(self)


def load_quality(state: Path, seal: Seal | None) -> Quality | None:
    """What lies beside a state file; None where there is nothing, or nothing that can be used."""
    try:
        content = quality_of(state).read_bytes()
    except OSError:
        return None
    if content.startswith(_SEALED) != (seal is not None):
        return None
    if seal is not None:
        from pocketrec.device.store.sealing import SealError

        try:
            content = seal.open(content[len(_SEALED) :], _SEALED)
        except SealError:
            return None
    return Quality.from_bytes(content)


def save_quality(state: Path, quality: Quality, seal: Seal | None) -> None:
    """Write it beside a state file, in one step, readable by its owner only.

    Raises:
        StorageError: it could not be written, and the old one is still good.
    """
    content = quality.to_bytes()
    if seal is not None:
        content = _SEALED + seal.seal(content, _SEALED)
    sweep(quality_of(state))
    write_atomic(quality_of(state), content, mode=0o600)
