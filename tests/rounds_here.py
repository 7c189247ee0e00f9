# SPDX-License-Identifier: Apache-2.0
"""A small federated training of random users, for tests of transports; needs no TensorFlow."""

from __future__ import annotations

import functools
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np

from pocketrec.cloud.config.federate import FederateConfig
from pocketrec.cloud.federated.device import FederatedUser
from pocketrec.cloud.federated.rounds import Training
from pocketrec.device.base.digest import sha256_of
from pocketrec.device.contract.federated import CONTRIBUTION_FILE
from pocketrec.export.federated.broadcast import round_weights

#: Threads that read arrays at once may meet a fault of Python 3.11 (ast, "recursion depth mismatch", gh-106905).
_READING = threading.Lock()


def contribution_folder() -> Path:
    """Contribution file and first weights, beside the tests' bundle (tests/make_bundle.py)."""
    return Path(os.environ["POCKETREC_TEST_BUNDLE"] + ".contribution")


def weights() -> dict[str, Any]:
    """The first weights by name."""
    with _READING:
        return {name: value.copy() for name, value in _weights().items()}


@functools.cache
def _weights() -> dict[str, Any]:
    with np.load(contribution_folder() / "weights.npz") as file:
        return {name: file[name] for name in file.files}


def name(place: int) -> str:
    """The user of a device; long enough to be looked for in what the device sends (tests/traces.py)."""
    return f"somebody-{place}"


def users(number: int) -> dict[str, FederatedUser]:
    """Devices with 10 to 20 events, half of them later ones."""
    rng, items = np.random.default_rng(number), len(weights()["item_embedding"])
    return {name(place): FederatedUser(rng.integers(1, items + 1, 10 + place % 11).astype(np.int32), 5)
            for place in range(number)}  # fmt: skip


def training(devices: dict[str, FederatedUser], rounds: int = 2, **options: Any) -> Training:
    """A training of the contribution file with all devices a round, unless `options` say otherwise."""
    first = weights()
    config = FederateConfig(**{"share": 1.0, "minimum_events": 3, **options})
    digest = sha256_of((contribution_folder() / CONTRIBUTION_FILE).read_bytes())
    return Training("t", config, rounds, 0.01, first, digest, list(devices), 1, items=len(first["item_embedding"]),
                    code=lambda values: round_weights(values, 8))  # fmt: skip
