# SPDX-License-Identifier: Apache-2.0
"""What the guard sees on one user's held-back events, as values. This module trains nothing and decides nothing."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Observed:
    """Mean differences against the global weights on the held-back targets; positive = better than global."""

    loglik: float
    """Nats a target."""
    rr: float
    """Reciprocal rank in the full catalogue."""


@dataclass
class Compared:
    """How far the comparison on the held-back targets has come: global, personal, half, then other weights."""

    calls: int = 0
    """Evaluation calls made with the last of the weights below."""
    loss: list[float] = field(default_factory=list)
    """Sum of the targets' losses for each of the weights, in nats."""
    rr: list[float] = field(default_factory=list)
    """Sum of the targets' reciprocal ranks for each."""


@dataclass(frozen=True)
class Judgement:
    """What the held-back events of one user say."""

    events: int
    """Events to learn from, n, the held-back ones included."""
    heldback: int
    """Held-back targets, m; 0 where there are too few events to judge."""
    observed: dict[str, Observed] = field(default_factory=dict)
    """By choice; empty where heldback = 0 or the training diverged."""
    diverged: bool = False
    """Whether the training ended in numbers that are not finite."""
