# SPDX-License-Identifier: Apache-2.0
"""A training with devices that come by themselves: what they are told, who may come, the wait for enough of them."""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from pocketrec.cloud.federated.rounds import Training, plan_of
from pocketrec.cloud.federated.serve import Offer, Served, serve
from pocketrec.device.base.errors import ConfigError, FederatedError
from pocketrec.device.base.files import write_atomic
from pocketrec.device.federated.plan import FEWEST

_NOISE_FILE = "noise.secret"


@contextlib.contextmanager
def joined_devices(
    training: Training, path: Path, model: str, say: Callable[[str], object]
) -> Iterator[tuple[Served, Training]]:
    """The server, and the training with the devices that have entered; it is over for them when the context ends.

    Args:
        training: its devices are replaced, and its name becomes one that no other run has.
        path: the contribution file.
        model: id of the model of the bundle that devices must have.
        say: told where devices are waited for.

    Raises:
        ConfigError: the address, a certificate or the file of keys cannot be used.
        FederatedError: fewer devices than a round needs have come in time.
    """
    config = training.config
    task = dataclasses.replace(
        training, name=f"{training.name}-{training.model[:12]}", noise_secret=_noise_secret(path.parent)
    )
    plan = plan_of(task, 0, 0, max(FEWEST, round(config.devices or config.share * config.joining)), live=False)
    pem = [Path(name) if name else None for name in (config.certificate, config.key)]
    offer = Offer(task.name, model, path.read_bytes(), plan)
    with serve(config.listen, offer, certificate=pem[0], key=pem[1], nodes=_roster(config.node_keys)) as engine:
        engine.show(task.code(task.weights))
        say(f"waiting for {config.joining} devices at {engine.address}: pocketrec join {engine.address} ...")
        devices = engine.wait_for(config.joining, config.joining_hours * 3600)
        if len(devices) < FEWEST:
            raise FederatedError(f"{len(devices)} devices have joined, and a round needs {FEWEST}: run again, and let "
                                 "more devices join")  # fmt: skip
        say(f"{len(devices)} devices have joined")
        yield engine, dataclasses.replace(task, devices=devices)


def _roster(file: str) -> list[str] | None:
    """Public keys of nodes, 64 hexadecimal digits each; None = there is no file, and anybody may come."""
    if not file:
        return None
    try:
        keys = [line.strip().lower() for line in Path(file).read_text("ascii").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the nodes' keys {file} ({error}): name a file with a key a line") from None
    for number, key in enumerate(keys, 1):
        if len(key) != 64 or set(key) - set("0123456789abcdef"):
            raise ConfigError(f"{file}, line {number}, is no public key: give 64 hexadecimal digits a line")
    return keys


def _noise_secret(folder: Path) -> int:
    """What the noise of real devices' rounds follows from: drawn once, kept for a server that is started again."""
    path = folder / _NOISE_FILE
    if not path.exists():
        write_atomic(path, secrets.token_hex(16).encode(), mode=0o600)
    return int(path.read_text("ascii"), 16)
