# SPDX-License-Identifier: Apache-2.0
"""What the engine, its ServerApp and its nodes exchange, and where: names, a key, a node's folder. Knows no flwr.

The engine and the ServerApp talk over a Unix socket in a folder that only its owner may enter, and both prove that they
know a key that lies there. Headers are JSON, plans, weights and updates are bytes; nothing is pickled.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from pocketrec.cloud.federated.device import FederatedUser
from pocketrec.device.base import documents
from pocketrec.device.contract.federated import CONTRIBUTION_FILE

#: Keys of messages: a question for a node's devices, a round; headers of what the ServerApp sends to the engine.
WHO: Final = "who"
ROUND: Final = "round"
NODES: Final = "nodes"
ANSWER: Final = "answer"
_EVENTS: Final = "events.npz"
_NOTE: Final = "node.json"


def read_key(path: str | Path) -> bytes:
    """The key of the socket."""
    return Path(path).read_bytes()


def write_node(folder: Path, contribution: Path, users: Mapping[str, FederatedUser], seed: int, runtime: str) -> None:
    """Lay the folder of a node: the contribution file, and the events of the devices that it holds."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(contribution, folder / CONTRIBUTION_FILE)
    rows = {f"rows.{place}": user.rows for place, user in enumerate(users.values())}
    np.savez(folder / _EVENTS, **rows)
    since = {name: user.since for name, user in users.items()}
    documents.write(folder / _NOTE, {"since": since, "seed": seed, "runtime": runtime}, mode=0o600)


def read_node(folder: Path) -> tuple[dict[str, FederatedUser], int, str]:
    """The devices of a node by name, the seed of their secrets, and the runtime."""
    note = documents.read(folder / _NOTE)
    with np.load(folder / _EVENTS, allow_pickle=False) as file:
        users = {name: FederatedUser(file[f"rows.{place}"], since)
                 for place, (name, since) in enumerate(note["since"].items())}  # fmt: skip
    return users, note["seed"], note["runtime"]
