# SPDX-License-Identifier: Apache-2.0
"""One simulated device in a federated round: the very code that a device runs.

Imports numpy and the device package only, as `pocketrec.cloud.fleet.device` does.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.federated.engine import Answer
from pocketrec.cloud.federated.events import LaterEvents
from pocketrec.device.base.digest import sha256_of
from pocketrec.device.base.errors import FederatedError
from pocketrec.device.contract.packed import decode
from pocketrec.device.federated.contribution import contribute, refusal, targets_of
from pocketrec.device.federated.model import ContributionModel
from pocketrec.device.federated.plan import Plan

_SECRET: Final = 16  # bytes


@dataclass(frozen=True)
class FederatedUser:
    """The events of one device."""

    rows: NDArray[np.int32]
    """Known events, oldest first: those before the cut-off, and the later ones that the device learns from."""
    since: int
    """Place in `rows` of the first later event."""


def federated_users(events: LaterEvents) -> dict[str, FederatedUser]:
    """The users that have later events to learn from, by id, in the order of their ids."""
    found, before, after, learn = {}, events.before, events.after, events.learn
    for place in np.flatnonzero(learn > 0).tolist():
        name, later = after.users[place], after.of(place)[0][: learn[place]]
        earlier = before.find(name)
        past = before.of(earlier)[0] if earlier is not None else later[:0]
        rows = np.concatenate([past[past > 0], later[later > 0]]).astype(np.int32)
        found[str(name)] = FederatedUser(rows, int((past > 0).sum()))
    return found


class SimulatedContributor:
    """One contribution file, served to device after device.

    Args:
        path: the contribution file.
        runtime: auto, ai_edge_litert or tflite_runtime.
        seed: the devices' secrets follow from it.
    """

    def __init__(self, path: Path, runtime: str, seed: int) -> None:
        self.model = ContributionModel(path, runtime)
        self.digest, self.seed = sha256_of(path.read_bytes()), seed
        self._plan, self._weights = b"", dict[str, NDArray[np.float32]]()

    def answer(self, name: str, user: FederatedUser, plan: bytes, weights: Path) -> Answer:
        """What the device sends.

        Args:
            name: of the device.
            user: its events.
            plan: the plan's bytes.
            weights: file of the round's weights.
        """
        started = time.perf_counter()
        read = Plan.from_bytes(plan)
        if why := refusal(read, self.model, self.digest, targets_of(user.rows, user.since)):
            return Answer(name, declined=why)
        if plan != self._plan:  # the same for all devices of a round
            self._weights = {key: value.values for key, value in decode(weights.read_bytes()).items()}
            self._plan = plan
        secret = hashlib.sha256(f"{self.seed} {name}".encode()).digest()[:_SECRET]
        try:
            made = contribute(self.model, read, self._weights, user.rows, user.since, secret)
        except FederatedError as error:
            return Answer(name, declined=str(error))
        return Answer(name, made.to_bytes(), milliseconds=(time.perf_counter() - started) * 1e3)
