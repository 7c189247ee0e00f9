# SPDX-License-Identifier: Apache-2.0
"""A fleet with a known answer: device u wants the weights at a point of its own, and sends real contributions for it.

The best shared weights are the mean of the points; a gradient is w - point.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from pocketrec.cloud.config.federate import FederateConfig
from pocketrec.cloud.federated.engine import Answer
from pocketrec.cloud.federated.rounds import Training
from pocketrec.device.contract.packed import Quantised, decode, encode
from pocketrec.device.federated.code import encode as rounded
from pocketrec.device.federated.contribution import Contribution, clipped
from pocketrec.device.federated.plan import Plan

SHAPES = {"kernel": (6, 4), "table": (30, 3)}
Weights = dict[str, Any]
START = {name: np.full(shape, 0.25, np.float32) for name, shape in SHAPES.items()}


def points(devices: int, seed: int = 0, spread: float = 0.3) -> dict[str, Weights]:
    """Where each device wants the weights: about 1 everywhere."""
    rng = np.random.default_rng(seed)
    return {f"d{place:03}": {name: rng.normal(1.0, spread, shape).astype(np.float32) for name, shape in SHAPES.items()}
            for place in range(devices)}  # fmt: skip


def coded(weights: Mapping[str, Any]) -> bytes:
    """Weights as they travel down, exact."""
    return encode({name: Quantised(value.astype(np.float32), None) for name, value in weights.items()})


def training(fleet: Mapping[str, Weights], rounds: int = 6, rate: float = 0.1, **changes: Any) -> Training:
    """From the weights `START`."""
    config = FederateConfig(**{"share": 0.5, "clip": 4.0, **changes})
    return Training("t", config, rounds, rate, START, "ab", list(fleet), seed=3, code=coded)


def loss(weights: Mapping[str, Any], devices: Mapping[str, Weights]) -> float:
    """Squared distance from the best shared weights."""
    best = {name: np.mean([point[name] for point in devices.values()], axis=0) for name in SHAPES}
    return float(sum(((weights[name] - best[name]) ** 2).sum() for name in SHAPES))


def sent(plan: Plan, weights: Mapping[str, Any], point: Mapping[str, Any], device: str) -> Contribution:
    """What an honest device sends."""
    gradient = clipped({name: weights[name] - point[name] for name in SHAPES}, plan.clip)
    return Contribution(plan.id, plan.round, 1, rounded(gradient, plan.bits, sum(device.encode()) + plan.round))


class Fleet:
    """An engine over these devices; `meddle(plan, device, contribution, call)` gives other bytes, or None: silence."""

    live = False

    def __init__(
        self, devices: Mapping[str, Weights],
        meddle: Callable[[Plan, str, Contribution, int], bytes | None] | None = None,
    ) -> None:
        self.devices, self.meddle, self.calls = devices, meddle, 0

    def collect(self, plan: Plan, weights: bytes, devices: Sequence[str], timeout: float) -> Iterator[Answer]:
        at = {name: tensor.values for name, tensor in decode(weights).items()}
        for device in devices:
            made = sent(plan, at, self.devices[device], device)
            self.calls += 1
            content = self.meddle(plan, device, made, self.calls) if self.meddle else made.to_bytes()
            yield Answer(device, content)
