# SPDX-License-Identifier: Apache-2.0
"""A device in a federated training: what it says before, the rounds that it is chosen for, and what it keeps.

A round is noted in the device's file before its update is sent, so that nothing is sent twice, whoever is killed when.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pocketrec.device.base.array import Array
from pocketrec.device.base.digest import sha256_of
from pocketrec.device.base.errors import BundleError, FederatedError
from pocketrec.device.base.files import write_atomic
from pocketrec.device.contract.federated import CONTRIBUTION_FILE
from pocketrec.device.contract.packed import decode
from pocketrec.device.federated.contribution import Contribution, contribute, refusal, targets_of
from pocketrec.device.federated.coordinator import Coordinator, OverError
from pocketrec.device.federated.model import ContributionModel
from pocketrec.device.federated.plan import Plan
from pocketrec.device.federated.taken import load_taken, save_taken

_POLL: Final = 2.0  # seconds between questions for a round


@dataclass(frozen=True)
class Device:
    """What a device brings along."""

    rows: Array
    """int32 [n], history, oldest first, no 0."""
    since: int
    """Place in `rows` of the first event that the shared model has not seen."""
    model: str
    """Id of the model that the device has."""
    folder: Path
    """For the contribution file and the rounds taken part in."""
    runtime: str = "auto"
    """Of the contribution file."""


def name_for(secret: str, training: str) -> str:
    """The device's name in a training; names of two trainings cannot be brought together."""
    return sha256_of(f"{secret} {training}".encode())[:32]


class Joined:
    """A device that takes part.

    Args:
        server: of the training; its `device` is set here.
        device: what it brings along.

    Raises:
        FederatedError: the training is of another model, or the server's file is not the one that it names.
    """

    def __init__(self, server: Coordinator, device: Device) -> None:
        self._server, self._device = server, device
        self.training = server.training()
        try:
            self._name, model, digest = (str(self.training[key]) for key in ("training", "model", "file"))
            self.example = Plan.from_bytes(self.training["plan"].encode())
        except (KeyError, AttributeError):
            raise FederatedError(f"{server.address} is no server of a federated training: check the address") from None
        if model != device.model:
            raise FederatedError(f"the training at {server.address} is of model {model[:12]}, and the bundle here has "
                                 f"{device.model[:12]}: fetch the latest bundle with `pocketrec pull`")  # fmt: skip
        device.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._taken = load_taken(device.folder)
        server.device = name_for(self._taken.secret, self._name)
        path = device.folder / CONTRIBUTION_FILE
        if not path.exists() or sha256_of(path.read_bytes()) != digest:
            content = server.file()
            if sha256_of(content) != digest:
                raise FederatedError(f"{server.address} sent another contribution file than it names: try again later")
            write_atomic(path, content)
        self._digest, self._model = digest, ContributionModel(path, device.runtime)

    training: dict[str, Any]
    """What the server says of it."""
    example: Plan
    """A plan as the rounds' will be."""

    def words(self) -> list[str]:
        """What will be sent, in lines for people."""
        plan = self.example
        numbers = sum(math.prod(shape) for shape in plan.tensors.values())
        size = numbers * plan.bits / 8 + 100 * len(plan.tensors)
        clipped = f", scaled down to a norm of at most {plan.clip:g}" if plan.clip else ""
        return [
            f"training {self._name} at {self._server.address}, "
            + ("over TLS" if self._server.secure else "on this machine, without TLS"),
            f"In each round for which it is chosen, this device sends one update: {len(plan.tensors)} tensors, "
            f"{numbers:,} numbers of {plan.bits} bits, about {size / 1e3:,.1f} kB.",
            "It is the mean gradient of the model's loss over the later events of this device" + clipped + ".",
            "No event, item id, candidate, time or user id is in it, and nothing of the personal model.",
            "The server sees this update by itself, and a gradient tells which items the events were of: join only if "
            "you trust the server with that.",
            "What was sent cannot be taken back: forgetting events later does not change it.",
        ]

    def dry_run(self, path: Path) -> Contribution:
        """Make an update at the training's present weights, and write it to a file instead of sending it.

        Raises:
            FederatedError: the device would take no part.
            StorageError: the file cannot be written.
        """
        made = self._made(self.example, self._server.weights())
        write_atomic(path, made.to_bytes(), mode=0o600)
        return made

    def take_part(self, may: Callable[[], str], say: Callable[[str], object], *, once: bool = False) -> int:
        """Answer rounds until the training is over; gives their number.

        Args:
            may: why not to work now, asked before each round; "" = go on. Until then this device is not chosen.
            say: told of each round in one line.
            once: return after one round.

        Raises:
            NotNowError: `may` has a reason.
            FederatedError: the server cannot be reached any more, refuses an update, or what it sent cannot be used.
        """
        done, entered = 0, False
        while True:
            if why := may():
                if entered:
                    self._server.leave()
                raise NotNowError(why)
            if not entered:
                save_taken(self._device.folder, self._taken)  # its secret is new where there was no file
                self._server.enter()
                entered = True
            try:
                plan = self._server.plan()
            except OverError:
                return done
            if plan is None:
                time.sleep(_POLL)
                continue
            done += self._round(plan, say)
            if once and done:
                self._server.leave()
                return done

    def leave(self) -> None:
        """Take no part any more; the contribution file is deleted, the note of the rounds is kept."""
        self._server.leave()
        (self._device.folder / CONTRIBUTION_FILE).unlink(missing_ok=True)

    def _round(self, plan: Plan, say: Callable[[str], object]) -> bool:
        taken = load_taken(self._device.folder)
        if why := taken.refusal(plan) or self._refusal(plan):
            self._server.decline(why)
            say(f"round {plan.round + 1}: not taken part: {why}")
            return False
        made = self._made(plan, self._server.weights(plan.id))
        save_taken(self._device.folder, taken.with_round(plan))
        content = made.to_bytes()
        self._server.send(plan.id, content)
        say(f"round {plan.round + 1}: sent {len(content) / 1e3:,.1f} kB")
        return True

    def _refusal(self, plan: Plan) -> str:
        if plan.training != self._name:
            return "the round is of another training"
        device = self._device
        return refusal(plan, self._model, self._digest, targets_of(device.rows, device.since))

    def _made(self, plan: Plan, coded: bytes) -> Contribution:
        if why := self._refusal(plan):
            raise FederatedError(f"this device would take no part: {why}")
        try:
            weights = {name: tensor.values for name, tensor in decode(coded).items()}
        except BundleError as error:
            raise FederatedError(f"the round's weights cannot be read ({error}): try again later") from None
        device = self._device
        return contribute(self._model, plan, weights, device.rows, device.since, bytes.fromhex(self._taken.secret))


class NotNowError(FederatedError):
    """The machine has other things to do."""
