# SPDX-License-Identifier: Apache-2.0
"""What a device contributes to a round: one update, and nothing else of its events.

The update is the mean gradient of the loss of its later events at the round's weights (or minus the change of a local
training), clipped and rounded. It has no event, item id, candidate, time or name in it. A gradient tells something
about the events that it was made of all the same; docs/federated.md says what, and what masks and noise do about it.

Personal weights are neither read nor changed. This module knows nothing about stores, networks and servers.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pocketrec.device.base.array import Array
from pocketrec.device.base.errors import FederatedError
from pocketrec.device.federated.code import Coded, encode, from_bytes, to_bytes
from pocketrec.device.federated.model import ContributionModel
from pocketrec.device.federated.plan import FEWEST, Plan
from pocketrec.device.personal.guard import learned_since
from pocketrec.device.personal.windows import log_uniform, training_windows

_PLAN, _ROUND, _WEIGHT = "plan", "round", "weight"
_DROPOUT = 1  # a stream of its own: [seed, 0] would be the numbers of the rounding, which takes `seed` alone
_TINY = 1e-7  # added under the root of Adagrad, as Keras has it


@dataclass(frozen=True)
class Contribution:
    """All that leaves a device for a round; `to_bytes` is what travels."""

    plan: str
    """Id of the plan that it follows."""
    round: int
    """Number of its round."""
    weight: int
    """What it counts in the mean."""
    update: Coded
    """The tensors of the plan."""

    def to_bytes(self) -> bytes:
        """The bytes that are sent; equal contributions give equal bytes."""
        return to_bytes(self.update, {_PLAN: self.plan, _ROUND: str(self.round), _WEIGHT: str(self.weight)})

    @classmethod
    def from_bytes(cls, content: bytes) -> Contribution:
        """The inverse of `to_bytes`.

        Raises:
            FederatedError: the bytes are cut short, altered, or hold something else.
        """
        update, texts = from_bytes(content)
        if texts.keys() != {_PLAN, _ROUND, _WEIGHT} or not (texts[_ROUND] + texts[_WEIGHT]).isdecimal():
            raise FederatedError("the update does not say what round it is of and what it counts: send it again")
        return cls(texts[_PLAN], int(texts[_ROUND]), int(texts[_WEIGHT]), update)


def refusal(plan: Plan, model: ContributionModel, digest: str, events: int, now: float | None = None) -> str:
    """Why a device with so many targets takes no part; "" where it does. The reason is one line.

    Args:
        plan: of the round.
        model: the contribution file.
        digest: SHA-256 of that file, hexadecimal.
        events: targets that the device has.
        now: seconds since 1970; None = by the clock.
    """
    if plan.model != digest:
        return "the round is of another model than the contribution file here: fetch both again"
    if {name: tuple(shape) for name, shape in plan.tensors.items()} != model.tensors:
        return "the round asks for other tensors than the contribution file has: fetch both again"
    if plan.devices < FEWEST:
        return f"the round has {plan.devices} devices, and a sum of fewer than {FEWEST} tells too much about each"
    if plan.expires and (time.time() if now is None else now) >= plan.expires:
        return "the round is over: wait for the next one, and see that this device's clock is right"
    if events < plan.minimum_events:
        return f"there are {events} events to learn from, and the round wants at least {plan.minimum_events}"
    return ""


def targets_of(rows: Array, since: int) -> int:
    """How many targets a device has: known events from place `since` of its history, but for the very first one."""
    return max(0, len(rows) - max(1, learned_since(len(rows), since)))


def contribute(
    model: ContributionModel, plan: Plan, weights: Mapping[str, Array], rows: Array, since: int, secret: bytes
) -> Contribution:
    """Make the update of a device; `refusal` was asked before.

    Args:
        model: the contribution file; it is left with other weights.
        plan: of the round.
        weights: the round's, float32 by name.
        rows: int32 [n], the device's whole history, oldest first, no 0.
        since: place in `rows` of the first event that the shared model has not seen.
        secret: of the device; dropout and rounding follow from it and the plan.

    Raises:
        FederatedError: the weights do not fit the file, or the update is not finite.
    """
    since = learned_since(len(rows), since)
    items, targets = training_windows(rows, since, model.window, model.batch, targets=model.targets)  # (S, B, T)
    seed = int.from_bytes(hashlib.sha256(secret + plan.id.encode()).digest()[:8], "little")
    batches = _Batches(model, plan, items, targets, seed)
    model.set_weights(weights)
    update, count = _trained(batches, weights) if plan.local_steps else _gradient(batches)
    if not all(np.isfinite(value).all() for value in update.values()):
        raise FederatedError("the update is not finite: nothing is sent; take part in a later round")
    coded = encode(clipped(update, plan.clip), plan.bits, seed, plan.scales or None)
    weight = 1 if plan.weight == "uniform" else count
    return Contribution(plan.id, plan.round, min(weight, plan.cap) if plan.cap else weight, coded)


def clipped(update: Mapping[str, Array], clip: float) -> dict[str, Array]:
    """The update scaled down to a Euclidean norm of `clip` over all tensors, where it is larger; 0 = as it is."""
    norm = norm_of(update)
    share = clip / norm if 0 < clip < norm else 1.0
    return {name: (value * np.float32(share)).astype(np.float32) for name, value in update.items()}


def norm_of(update: Mapping[str, Array]) -> float:
    """Euclidean norm over all tensors."""
    return math.sqrt(sum(float(np.square(value, dtype=np.float64).sum()) for value in update.values()))


@dataclass(frozen=True)
class _Batches:
    """What a device has to learn from, in the batches of the contribution file, one after the other and again."""

    model: ContributionModel
    plan: Plan
    items: Array
    """int32 [S, B, T]."""
    targets: Array
    """int32 [S, B, `ContributionModel.targets`]."""
    seed: int
    """Dropout follows from it."""

    def gradient(self, step: int) -> tuple[int, dict[str, Array]]:
        """Counted targets of a step's batch, and the sum of their gradients at the weights that are set."""
        place = step % len(self.items)
        batch, model, plan = self.items[place], self.model, self.plan
        negatives = log_uniform(model.negatives, plan.items, plan.seed, step) if model.negatives else None
        kept = self._kept((*batch.shape, model.size), step) if plan.dropout else None
        _, count, gradients = model.gradient(batch, self.targets[place], negatives, kept)
        return count, gradients

    def _kept(self, shape: tuple[int, ...], step: int) -> Array:
        """1 / (1 - dropout) where a number is kept and 0 where not, as Keras' Dropout has it."""
        drawn = np.random.default_rng([self.seed, _DROPOUT, step]).random(shape, np.float32)
        return np.where(drawn >= self.plan.dropout, np.float32(1 / (1 - self.plan.dropout)), np.float32(0))


def _gradient(batches: _Batches) -> tuple[dict[str, Array], int]:
    """Mean gradient over all targets, and their number."""
    total = {name: np.zeros(shape, np.float32) for name, shape in batches.model.tensors.items()}
    count = 0
    for step in range(len(batches.items)):
        counted, gradients = batches.gradient(step)
        count += counted
        for name, value in gradients.items():
            total[name] += value
    return {name: value / np.float32(max(1, count)) for name, value in total.items()}, count


def _trained(batches: _Batches, weights: Mapping[str, Array]) -> tuple[dict[str, Array], int]:
    """Minus the change of `local_steps` passes of Adagrad from the round's weights, and the number of targets."""
    own = {name: value.astype(np.float32) for name, value in weights.items()}
    squares = {name: np.zeros_like(value) for name, value in own.items()}
    whole, counts, rate = len(batches.items), 0, np.float32(batches.plan.local_rate)
    for step in range(whole * batches.plan.local_steps):
        counted, gradients = batches.gradient(step)
        counts += counted if step < whole else 0
        for name, value in gradients.items():
            mean = value / np.float32(max(1, counted))
            squares[name] += mean * mean
            own[name] -= rate * mean / np.sqrt(squares[name] + np.float32(_TINY))
        batches.model.set_weights(own)
    return {name: weights[name].astype(np.float32) - value for name, value in own.items()}, counts
