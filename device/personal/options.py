# SPDX-License-Identifier: Apache-2.0
"""What a personal training takes beside events and recipe, and what it leaves where it is stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pocketrec.device.base.array import Array
from pocketrec.device.personal.judgement import Compared, Judgement


class Progress(Protocol):
    """Called after each train step."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """`done` of `total` steps are made."""


@dataclass
class Course:
    """How far a training has come. With this and the model's weights it continues to the same bits."""

    done: int = 0
    """Steps made."""
    total: float = 0.0
    """Sum of the losses of the present pass."""
    losses: list[float] = field(default_factory=list)
    """Mean loss of each finished pass."""


@dataclass(frozen=True)
class Paused:
    """Where a training was stopped. With the same arguments and this it continues to the same bits."""

    course: Course
    """Steps of the guard's training, or of the final one."""
    weights: dict[str, Array]
    """Tensors and slots of that training."""
    judgement: Judgement | None = None
    """The guard's; None while its training or its comparison is not done."""
    compared: Compared | None = None
    """How far the guard's comparison has come; None = it has not started, or is done."""


@dataclass(frozen=True, eq=False, repr=False)
class Start:
    """Where a training begins: which weights, what lies behind them, and which events come next."""

    weights: Mapping[str, Array] | None = None
    """Weights and slots to train from; None = the global ones."""
    step: int = 0
    """Train steps already made from the global weights; they seed the negatives."""
    events: int | None = None
    """Number of events that the guard's prior is asked about; None = those to learn from."""
    first_target: int | None = None
    """Index of the first event to train on; None = as the recipe's ``targets`` say."""
    replay_from: int | None = None
    """Index of the first of the older events that may be replayed among the new ones, as far as the recipe's ``replay``
    says; None = none are."""
    paused: Paused | None = None
    """Where a training with the same arguments was stopped; None = it begins."""


@dataclass(frozen=True, eq=False, repr=False)
class TrainingOptions:
    """How a training is run, whatever it learns."""

    passes: int | None = None
    """Passes over the windows; None = the recipe's."""
    progress: Progress | None = None
    """Called after each train step."""
    stop: Callable[[], str] | None = None
    """Asked before each train step and each call of an evaluation; anything but "" stops there, and is the reason."""
    most: float = 1.0
    """Largest share of the personal weights that the guard may choose (`pocketrec.device.personal.watch`)."""

    def check(self) -> None:
        """Ask whether to stop.

        Raises:
            StoppedError: so it is; its text is the reason.
        """
        if self.stop is not None and (reason := self.stop()):
            raise StoppedError(reason)


class StoppedError(Exception):
    """The training was asked to stop between two steps.

    Args:
        reason: why.
        paused: where the guard's training or comparison continues; None = the caller's `Course` says it.
    """

    def __init__(self, reason: str, paused: Paused | None = None) -> None:
        super().__init__(reason)
        self.paused = paused
