# SPDX-License-Identifier: Apache-2.0
"""The ClientApp: the devices of one node answer a round with the devices' own code.

The node's folder (its configuration's ``folder``) has the contribution file and the devices' events; nothing of it is
sent but the answers. It runs in a process that the SuperNode starts for each message.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Final

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from pocketrec.cloud.federated.device import SimulatedContributor
from pocketrec.device.base.errors import RuntimeMissingError
from pocketrec.device.contract.federated import CONTRIBUTION_FILE, ROUND_WEIGHTS_FILE
from pocketrec.flower.relay import WHO, read_node

app = ClientApp()
_KEYS: Final = {"plan", "weights", "devices"}


@app.train()
def train(message: Message, context: Context) -> Message:
    """Answer which devices there are, or what each of the chosen ones sends."""
    folder = Path(str(context.node_config["folder"]))
    users, seed, runtime = read_node(folder)
    asked = message.content.config_records["round"]
    if WHO in asked:
        return _reply(message, {"devices": list(users)})
    if not asked.keys() >= _KEYS:
        raise ValueError("the message is no round of pocketrec federate")
    contributor = _contributor(folder / CONTRIBUTION_FILE, runtime, seed)
    plan, chosen = bytes(asked["plan"]), [str(name) for name in _names(asked["devices"])]
    with tempfile.TemporaryDirectory() as place:
        weights = Path(place) / ROUND_WEIGHTS_FILE
        weights.write_bytes(bytes(asked["weights"]))
        answers = [contributor.answer(name, users[name], plan, weights) for name in chosen if name in users]
    return _reply(message, {
        "devices": [answer.device for answer in answers],
        "declined": [answer.declined for answer in answers],
        "contents": [answer.content or b"" for answer in answers],
        "milliseconds": [answer.milliseconds for answer in answers],
    })  # fmt: skip


def _contributor(path: Path, runtime: str, seed: int) -> SimulatedContributor:
    """On the runtime that the engine's environment has, else on the one that is here."""
    try:
        return SimulatedContributor(path, runtime, seed)
    except RuntimeMissingError:
        return SimulatedContributor(path, "auto", seed)


def _reply(message: Message, values: dict[str, Any]) -> Message:
    kept = {name: value for name, value in values.items() if value}  # a record takes no empty list
    return Message(RecordDict({"answer": ConfigRecord(kept)}), reply_to=message)


def _names(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else []
