# SPDX-License-Identifier: Apache-2.0
"""A masked round on one machine: members and server of `pocketrec.device.federated.mask`, fed by an engine's devices.

Keys and shares are exchanged among all devices that have not declined; who then sends nothing has dropped out, and its
masks are recovered. The server's part of this code touches masked numbers and their sum only, so it cannot look at
one update: neither its norm nor whether it is finite. That is the price of masks, and devices check themselves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.federated.server import Sum
from pocketrec.cloud.federated.unmask import Unmasking
from pocketrec.device.base.errors import FederatedError
from pocketrec.device.federated.code import largest
from pocketrec.device.federated.contribution import Contribution
from pocketrec.device.federated.mask import Member, word_of
from pocketrec.device.federated.plan import Plan

#: Shared scales leave room for values up to the clip over this; what is larger is cut off.
_ROOM = 4.0


def shared_scales(tensors: Mapping[str, NDArray[np.float32]], clip: float, bits: int) -> dict[str, float]:
    """Scale of each tensor for whole numbers that are added up: alike for all devices, and known beforehand.

    A value of a clipped update is at most the clip, and hardly ever a quarter of it; stochastic rounding to such steps
    leaves the mean as it is.
    """
    return dict.fromkeys(tensors, float(np.float32(clip / _ROOM / largest(bits))))


class MaskedRound:
    """One round: `add` the devices' contributions as they come, then take the `total`.

    Args:
        plan: of the round, with shared scales.
        devices: all that were chosen and have not declined.

    Raises:
        FederatedError: they are fewer than a masked round takes.
    """

    def __init__(self, plan: Plan, devices: Sequence[str]) -> None:
        self._plan, self._word = plan, word_of(len(devices), largest(plan.bits))
        self._length = sum(math.prod(shape) for shape in plan.tensors.values())
        self._server = Unmasking(plan.id, self._length, self._word)
        self._members: dict[str, tuple[int, Member]] = {}
        for device in devices:
            member = Member(plan.id)
            self._members[device] = self._server.add_keys(member.advertise()), member
        for number, member in self._members.values():
            self._server.add_shares(number, member.share(number, self._server.directory))

    def add(self, device: str, made: Contribution) -> int:
        """A device masks its numbers, and sends them; bytes of what it has sent in the whole round."""
        number, member = self._members[device]
        numbers = np.concatenate([made.update.numbers[name].reshape(-1) for name in sorted(self._plan.tensors)])
        handed = self._server.shares_for(number)
        self._server.add_masked(number, member.masked(handed, numbers, self._word))
        return self._length * self._word // 8 + sum(map(len, handed.values())) + 33 * len(handed) + 64

    def total(self) -> tuple[dict[str, NDArray[np.float64]], int]:
        """The sum of the updates by tensor, and of how many.

        Raises:
            FederatedError: too few have sent something; the round is void.
        """
        survivors = set(self._server.close())
        left = [(number, member) for number, member in self._members.values() if number in survivors]
        for number, member in left:
            self._server.add_consent(number, member.consent(survivors))
        for number, member in left:
            self._server.add_unmasking(number, member.unmask(self._server.consents))
        flat, place, total = self._server.total(), 0, {}
        for name in sorted(self._plan.tensors):
            shape = self._plan.tensors[name]
            size = math.prod(shape)
            total[name] = flat[place : place + size].reshape(shape) * float(np.float32(self._plan.scales[name]))
            place += size
        return total, len(survivors)


def masked_sum(plan: Plan, numbers: Mapping[str, Contribution], silent: Sequence[str]) -> tuple[Sum, int]:
    """The sum of a masked round, and the bytes that all its devices have sent; an empty sum where too few are left.

    Args:
        plan: of the round.
        numbers: what devices have made, by device.
        silent: devices that dropped out after the keys were exchanged.
    """
    total, sent = Sum(), 0
    try:
        masked = MaskedRound(plan, sorted([*numbers, *silent]))
        for device, made in numbers.items():
            sent += masked.add(device, made)
        total.total, total.weight = masked.total()
    except FederatedError:  # the round is void, and begun again with others
        return Sum(), sent
    return total, sent
