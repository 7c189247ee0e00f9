# SPDX-License-Identifier: Apache-2.0
"""A training that waits for devices: who may come, how many are needed, and what it keeps."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path
from typing import Any

import pytest

from pocketrec.cloud.federated.rounds import Training, train
from pocketrec.cloud.federated.serving import joined_devices
from pocketrec.device.base.errors import ConfigError, FederatedError
from pocketrec.device.contract.federated import CONTRIBUTION_FILE
from pocketrec.device.federated.coordinator import Coordinator
from pocketrec.device.federated.joining import Device, Joined


@pytest.fixture
def file(contribution: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POCKETREC_TEST_BUNDLE", str(contribution).removesuffix(".contribution"))
    copy = tmp_path / CONTRIBUTION_FILE
    copy.write_bytes((contribution / CONTRIBUTION_FILE).read_bytes())
    return copy


def task(**options: Any) -> Training:
    from rounds_here import training, users

    return training(users(12), listen="127.0.0.1:0", timeout=60.0, **options)


def test_a_training_waits_for_its_devices_and_does_the_rounds_with_them(file: Path, tmp_path: Path) -> None:
    from rounds_here import name, users

    said: list[str] = []
    done: list[int] = []

    def act(address: str, place: int) -> None:
        user = users(12)[name(place)]
        device = Device(user.rows, user.since, "the model", tmp_path / f"device-{place}")
        done.append(Joined(Coordinator(address, ""), device).take_part(lambda: "", lambda line: None))

    threads: list[threading.Thread] = []

    def say(line: str) -> None:
        said.append(line)
        if line.startswith("waiting"):
            address = line.split()[5].rstrip(":")
            threads.extend(threading.Thread(target=act, args=(address, place)) for place in range(12))
            for thread in threads:
                thread.start()

    with joined_devices(task(joining=12), file, "the model", say) as (engine, given):
        assert len(given.devices) == 12
        trained = train(given, engine, tmp_path)
    for thread in threads:
        thread.join(60)
    assert said[-1] == "12 devices have joined"
    assert [record["accepted"] for record in trained.records] == [12, 12]
    assert done == [2] * 12
    assert given.name == f"t-{given.model[:12]}"


def test_too_few_devices_are_one_line(file: Path) -> None:
    few = task(joining=1, joining_hours=1e-4)
    with (
        pytest.raises(FederatedError, match="0 devices have joined, and a round needs 10: run again"),
        joined_devices(few, file, "the model", lambda line: None),
    ):
        pass


def test_noise_of_real_devices_follows_from_a_secret_that_is_kept(file: Path) -> None:
    secrets = []
    for _ in range(2):
        with pytest.raises(FederatedError, match="have joined"):
            _enter(task(joining=1, joining_hours=1e-4), file)
        secrets.append((file.parent / "noise.secret").read_text())
    assert secrets[0] == secrets[1]
    assert len(secrets[0]) == 32
    assert (file.parent / "noise.secret").stat().st_mode & 0o077 == 0


def _enter(training: Training, file: Path) -> None:
    with joined_devices(training, file, "the model", lambda line: None):
        pass


@pytest.mark.parametrize(("content", "told"), [
    ("nonsense\n", r"nodes, line 1, is no public key: give 64"),
    ("ab" * 32 + "\n" + "xy" * 32, r"nodes, line 2, is no public key"),
    (None, "cannot read the nodes' keys"),
])  # fmt: skip
def test_a_file_of_keys_that_is_none(content: str | None, told: str, file: Path, tmp_path: Path) -> None:
    nodes = tmp_path / "nodes"
    if content is not None:
        nodes.write_text(content)
    with pytest.raises(ConfigError, match=told):
        _enter(task(node_keys=str(nodes)), file)


def test_an_address_that_is_taken_and_certificates_that_are_none(file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not HOST:PORT"):
        _enter(dataclasses.replace(task(), config=dataclasses.replace(task().config, listen="nowhere")), file)
    wrong = task(certificate=str(tmp_path / "none.pem"), key=str(tmp_path / "none.key"))
    with pytest.raises(ConfigError, match=r"cannot listen on .* with these certificates"):
        _enter(wrong, file)
