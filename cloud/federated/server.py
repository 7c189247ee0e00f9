# SPDX-License-Identifier: Apache-2.0
"""What the server does with updates: check, combine, step. Pure functions, which know no transport and no round."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pocketrec.device.base.errors import FederatedError
from pocketrec.device.federated.contribution import Contribution, clipped, norm_of
from pocketrec.device.federated.plan import Plan
from pocketrec.device.personal.guard import LEARNED

Floats = NDArray[np.float32]

#: How many times the clip the norm of a decoded update may be. Devices clip before they round, and stochastic rounding
#: to few bits adds to the norm: 1.002 times with 8 bits and 1.14 times with 4 was the most on ml-100k. Scales that all
#: devices share, for masks, are larger, and so is what they add.
SLACK: Final = 4.0
#: Norm of the weights, in norms of the first ones, above which a training has diverged.
DIVERGED: Final = 10.0

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.99, 1e-5
_MOMENTUM = 0.9


def check(content: bytes, plan: Plan, device: str, accepted: Collection[str]) -> Contribution | str:
    """The contribution that some bytes are, or why it is refused, in a few words that are the same for equal reasons.

    Args:
        content: as it came.
        plan: of the round.
        device: who sent it.
        accepted: whose contributions were accepted in this round already.
    """
    if device in accepted:
        return "a second update of one device"
    try:
        found = Contribution.from_bytes(content)
    except FederatedError:
        return "not a whole, unaltered update"
    if found.plan != plan.id or found.round != plan.round:
        return "of another round"
    if found.update.bits != plan.bits or {n: list(v.shape) for n, v in found.update.numbers.items()} != plan.tensors:
        return "other tensors than the plan has"
    most = 1 if plan.weight == "uniform" else plan.cap or LEARNED
    if not 1 <= found.weight <= most:
        return "counts more than it may"
    norm = norm_of(found.update.tensors)
    if not math.isfinite(norm):
        return "not finite"
    if plan.clip and norm > SLACK * plan.clip:
        return "its norm is far above the clip"
    return found


@dataclass
class Sum:
    """The weighted sum of accepted updates, formed one by one in float64."""

    total: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    """By tensor name; empty before the first update."""
    weight: int = 0
    """Sum of what the updates count."""
    norms: list[float] = field(default_factory=list)
    """Euclidean norm of each update."""

    def add(self, contribution: Contribution, clip: float = 0.0) -> None:
        """Add an update.

        Args:
            contribution: a checked one.
            clip: bound of what a single update can change, for noise that hides it: the update as it came is scaled
                down to this norm; 0 = as it is.
        """
        tensors = contribution.update.tensors
        self.norms.append(norm_of(tensors))
        for name, value in clipped(tensors, clip).items():
            if name not in self.total:
                self.total[name] = np.zeros(value.shape)
            self.total[name] += contribution.weight * value.astype(np.float64)
        self.weight += contribution.weight

    def mean(self) -> dict[str, Floats]:
        """sum of w d / sum of w, float32 by name."""
        return {name: (value / self.weight).astype(np.float32) for name, value in self.total.items()}


@dataclass(frozen=True)
class ServerState:
    """The server's weights and the slots of its optimizer, float32 by name."""

    weights: dict[str, Floats]
    first: dict[str, Floats]
    """First moments (adam), or velocities (momentum)."""
    second: dict[str, Floats]
    """Second moments (adam)."""
    steps: int = 0
    """Steps done."""

    @classmethod
    def of(cls, weights: Mapping[str, Floats]) -> ServerState:
        """Before the first step."""
        own = {name: np.asarray(value, np.float32) for name, value in weights.items()}
        zeros = {name: np.zeros_like(value) for name, value in own.items()}
        return cls(own, zeros, dict(zeros))


def step(
    state: ServerState, mean: Mapping[str, Floats], optimizer: str, rate: float, pruned: Collection[str] = ()
) -> ServerState:
    """One step against the mean update.

    adam: Kingma and Ba 2015 with bias correction, beta .9 and .99, epsilon 1e-5, as FedAdam (Reddi et al. 2021) has it
    but for the correction; momentum: v = .9 v + mean, w -= rate v; avg: w -= rate mean, with rate 1 and local steps
    FedAvg.

    Args:
        state: before.
        mean: the mean update by name.
        optimizer: adam, momentum or avg.
        rate: learning rate.
        pruned: tensors whose zeros stay zero.
    """
    count, weights, first, second = state.steps + 1, {}, {}, {}
    for name, value in state.weights.items():
        change, first[name], second[name] = mean[name], state.first[name], state.second[name]
        if optimizer == "adam":
            first[name] = (_BETA_1 * first[name] + (1 - _BETA_1) * change).astype(np.float32)
            second[name] = (_BETA_2 * second[name] + (1 - _BETA_2) * change * change).astype(np.float32)
            root = np.sqrt(second[name] / (1 - _BETA_2**count)) + _EPSILON
            change = first[name] / (1 - _BETA_1**count) / root
        elif optimizer == "momentum":
            change = first[name] = (_MOMENTUM * first[name] + change).astype(np.float32)
        if name in pruned:
            change = change * (value != 0)
        weights[name] = (value - rate * change).astype(np.float32)
    return ServerState(weights, first, second, count)


def is_sound(weights: Mapping[str, Floats], start: Mapping[str, Floats]) -> bool:
    """Whether weights are finite and not `DIVERGED` times as large as the first ones."""
    return norm_of(weights) <= DIVERGED * max(norm_of(start), 1.0)  # a NaN is not
