# SPDX-License-Identifier: Apache-2.0
"""How the server reaches devices: the seam between the rounds and a transport."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pocketrec.device.federated.plan import Plan


@dataclass(frozen=True)
class Answer:
    """What came of one device that was chosen."""

    device: str
    """Its name, known to the transport alone; it is in no payload."""
    content: bytes | None = None
    """The bytes of a `pocketrec.device.federated.contribution.Contribution`, not yet checked; None = none came."""
    declined: str = ""
    """Why the device takes no part, in one line; "" with `content` None = it did not answer in time."""
    milliseconds: float = 0.0
    """Time that the device took; 0 = not known."""


class Engine(Protocol):
    """A transport. It hands bytes through and checks nothing."""

    live: bool
    """Whether devices answer by the clock; a plan then says when the round is over."""

    def collect(self, plan: Plan, weights: bytes, devices: Sequence[str], timeout: float) -> Iterator[Answer]:
        """Give the plan and the round's weights to devices, and what they answer.

        Args:
            plan: of the round.
            weights: as `pocketrec.device.contract.packed.decode` reads them.
            devices: who was chosen.
            timeout: seconds after which a device counts as silent.

        Returns:
            One answer for each device, in the order of `devices`, so that sums are formed in one order.
        """
        ...
