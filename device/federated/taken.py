# SPDX-License-Identifier: Apache-2.0
"""Which rounds a device has taken part in: a small file beside its state, so that nothing is sent twice.

A round is noted before its update is sent. A device that is killed between the two has not contributed to that round,
and does not try again. The file also holds the secret that the rounding and dropout of updates follow from.
"""

from __future__ import annotations

import dataclasses
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pocketrec.device.base import documents
from pocketrec.device.base.errors import FederatedError
from pocketrec.device.base.fields import FieldError, build
from pocketrec.device.contract.federated import TAKEN_FILE
from pocketrec.device.federated.plan import Plan

_PRIVATE: Final = 0o600


@dataclass(frozen=True)
class Taken:
    """The content of the file."""

    secret: str
    """Random, hexadecimal; never sent."""
    rounds: dict[str, list[str]] = field(default_factory=dict)
    """Training -> ids of the plans that were followed, in their order. A void round that is begun again is another."""

    def refusal(self, plan: Plan) -> str:
        """Why the device takes no part in a round because of those before; "" where it may."""
        taken = self.rounds.get(plan.training, [])
        if plan.id in taken:
            return f"this device has sent its update for round {plan.round} already"
        if plan.visits and len(taken) >= plan.visits:
            return f"this device has taken part in {len(taken)} rounds, as often as the training asks of one"
        return ""

    def with_round(self, plan: Plan) -> Taken:
        """The same after a round."""
        followed = [*self.rounds.get(plan.training, []), plan.id]
        return dataclasses.replace(self, rounds={**self.rounds, plan.training: followed})


def load_taken(folder: str | Path) -> Taken:
    """What the folder's file holds; a new secret and no round where there is none.

    Raises:
        FederatedError: the file is damaged. It is not replaced: a device that forgot its rounds would send twice.
    """
    path = Path(folder) / TAKEN_FILE
    try:
        return build(Taken, documents.read(path))
    except FileNotFoundError:
        return Taken(secrets.token_hex(16))
    except (OSError, documents.DocumentError, FieldError) as error:
        raise FederatedError(f"{path} cannot be read ({error}): leave this training, or delete the file once the "
                             "training is over") from None  # fmt: skip


def save_taken(folder: str | Path, taken: Taken) -> None:
    """Write the folder's file, atomically, for its owner alone.

    Raises:
        StorageError: it could not be written.
    """
    documents.write(Path(folder) / TAKEN_FILE, dataclasses.asdict(taken), mode=_PRIVATE)
