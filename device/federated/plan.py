# SPDX-License-Identifier: Apache-2.0
"""The plan of a round: what the server asks of every device that it has chosen, alike for all of them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

from pocketrec.device.base import documents
from pocketrec.device.base.errors import FederatedError
from pocketrec.device.base.fields import Above, AtLeast, Below, FieldError, build, check

#: Devices of a round below which a device takes no part: a sum of few tells much about each.
FEWEST: Final = 10


@dataclass(frozen=True)
class Plan:
    """One round. `to_bytes` is what travels; the name of no device is in it."""

    id: str
    """Names this round among all: of the training, its number, and how often it was begun."""
    training: str
    """Names the training that the round belongs to."""
    round: Annotated[int, AtLeast(0)]
    """Number of the round, from 0."""
    model: str
    """SHA-256 of the contribution file that the weights and the update belong to, hexadecimal."""
    tensors: dict[str, list[int]]
    """Name -> shape of every tensor that an update has, no more and no less."""
    devices: Annotated[int, AtLeast(1)]
    """Devices that were chosen for the round."""
    bits: Literal[32, 8, 4] = 8
    """Bits of a value of the update (`pocketrec.device.federated.code`)."""
    clip: Annotated[float, AtLeast(0)] = 0.0
    """Largest Euclidean norm of an update over all of its tensors; 0 = as it is."""
    minimum_events: Annotated[int, AtLeast(1)] = 5
    """Targets that a device must have, to take part."""
    local_steps: Annotated[int, AtLeast(0)] = 0
    """0: the update is a gradient at the round's weights. Above: passes of local training; it is minus their change."""
    local_rate: Annotated[float, Above(0)] = 0.01
    """Learning rate of local training (Adagrad)."""
    dropout: Annotated[float, AtLeast(0), Below(1)] = 0.0
    """Chance with which a number of an input embedding is set to 0 while a gradient is taken."""
    weight: Literal["uniform", "size"] = "uniform"
    """What an update counts: one, or as many as it has targets."""
    cap: Annotated[int, AtLeast(0)] = 0
    """Most that an update may count; 0 = no limit."""
    visits: Annotated[int, AtLeast(0)] = 0
    """Rounds of one training that a device takes part in at most; 0 = no limit."""
    expires: Annotated[float, AtLeast(0)] = 0.0
    """Time from which an update comes too late, in seconds since 1970; 0 = never."""
    items: Annotated[int, AtLeast(0)] = 0
    """Items of the catalogue, for the sampled softmax."""
    seed: Annotated[int, AtLeast(0)] = 0
    """Of the negatives that all devices share, where the loss is the sampled softmax."""
    scales: dict[str, float] = field(default_factory=dict)
    """Scale of each tensor that all devices share, where updates are summed as whole numbers; {} = each its own."""
    secure: bool = False
    """Whether updates are masked, so that the server sees their sum only."""

    def __post_init__(self) -> None:
        try:
            check(self)
        except FieldError as error:
            raise FederatedError(f"the plan of the round is wrong ({error}): write it again") from None

    def to_bytes(self) -> bytes:
        """The plan as JSON; equal plans give equal bytes."""
        return documents.document(dataclasses.asdict(self), ordered=True)

    @classmethod
    def from_bytes(cls, content: bytes) -> Plan:
        """The inverse of `to_bytes`.

        Raises:
            FederatedError: it is not the plan of a round.
        """
        try:
            table: dict[str, Any] = documents.parse_table(content)
            return build(cls, table)
        except (documents.DocumentError, FieldError) as error:
            raise FederatedError(f"the plan of the round cannot be read ({error}): fetch it again") from None
