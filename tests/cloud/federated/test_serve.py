# SPDX-License-Identifier: Apache-2.0
"""Devices that join over HTTPS: real server, real devices' code, real certificates; what may be wrong, a line each."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pocketrec.cloud.federated.engine import Answer
from pocketrec.cloud.federated.processes import processes
from pocketrec.cloud.federated.rounds import Trained, plan_of, train
from pocketrec.cloud.federated.serve import Offer, Served, serve
from pocketrec.device.base.errors import ConfigError, FederatedError
from pocketrec.device.contract.federated import CONTRIBUTION_FILE, TAKEN_FILE
from pocketrec.device.federated import coordinator
from pocketrec.device.federated.contribution import Contribution
from pocketrec.device.federated.coordinator import Coordinator
from pocketrec.device.federated.joining import Device, Joined, NotNowError, name_for
from pocketrec.device.federated.plan import Plan
from pocketrec.flower.keys import make_certificates

pytest.importorskip("cryptography", reason="the extra `secure` is not installed")

DEVICES = 12


@pytest.fixture(autouse=True)
def beside(contribution: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`rounds_here` looks beside the tests' bundle."""
    monkeypatch.setenv("POCKETREC_TEST_BUNDLE", str(contribution).removesuffix(".contribution"))


@pytest.fixture
def certificates(tmp_path: Path) -> Any:
    return make_certificates(tmp_path)


@contextlib.contextmanager
def served(file: Path, certificates: Any = None, nodes: list[str] | None = None, **options: Any) -> Iterator[Served]:
    from rounds_here import training, users

    task = training(users(DEVICES), **options)
    offer = Offer("t", "the model", file.read_bytes(), plan_of(task, 0, 0, DEVICES, live=False))
    pair = {"certificate": None, "key": None}
    if certificates is not None:
        pair = {"certificate": certificates.certificate, "key": certificates.key}
    with serve("127.0.0.1:0", offer, nodes=nodes, farewell=0.0, **pair) as engine:
        engine.show(task.code(task.weights))
        yield engine


def device(folder: Path, place: int = 0) -> Device:
    from rounds_here import name, users

    user = users(DEVICES)[name(place)]
    return Device(user.rows, user.since, "the model", folder / f"device-{place}")


def joined(engine: Served, folder: Path, place: int = 0, certificates: Any = None, key: Any = None) -> Joined:
    roots = None if certificates is None else certificates.authority
    return Joined(Coordinator(engine.address, "", roots, key), device(folder, place))


def one_line(error: pytest.ExceptionInfo[Exception]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def test_devices_train_a_model_over_tls(contribution: Path, certificates: Any, tmp_path: Path) -> None:
    """Twelve devices with node keys, all rounds; the payloads have the plan's tensors and nothing else."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from rounds_here import name, training, users
    from traces import traces

    keys = [Ed25519PrivateKey.generate() for _ in range(DEVICES)]
    roster = [key.public_key().public_bytes_raw().hex() for key in keys]
    seen: list[bytes] = []
    with served(contribution / CONTRIBUTION_FILE, certificates, roster) as engine:
        lines: list[str] = []
        done: list[int] = []

        def act(place: int) -> None:
            done.append(joined(engine, tmp_path, place, certificates, keys[place]).take_part(lambda: "", lines.append))

        threads = [threading.Thread(target=act, args=(place,)) for place in range(DEVICES)]
        for thread in threads:
            thread.start()
        names = engine.wait_for(DEVICES, 60)
        assert len(names) == DEVICES
        real = engine.collect

        def watched(*arguments: Any) -> Iterator[Any]:
            for answer in real(*arguments):
                seen.append(answer.content or b"")
                yield answer

        engine.collect = watched  # type: ignore[method-assign]
        task = dataclasses.replace(training(users(DEVICES), timeout=60.0), devices=names)
        trained = train(task, engine, tmp_path)
        engine.end()
        for thread in threads:
            thread.join(60)
    assert done == [2] * DEVICES
    assert [record["accepted"] for record in trained.records] == [DEVICES, DEVICES]
    assert len(lines) == 2 * DEVICES
    for content in seen:
        made = Contribution.from_bytes(content)
        assert made.update.numbers.keys() == task.weights.keys()
        assert traces(content, *map(name, range(DEVICES))) == []
    (tmp_path / "p").mkdir()
    with processes(contribution / CONTRIBUTION_FILE, users(DEVICES), tmp_path / "p", seed=1, number=1) as here:
        beside = train(training(users(DEVICES), bits=32), here, tmp_path / "p")
    assert _distance(trained, beside) < 0.05 * _norm(beside), "they differ by rounding alone"


def _distance(one: Trained, two: Trained) -> float:
    return float(np.sqrt(sum(((one.state.weights[n] - v) ** 2).sum() for n, v in two.state.weights.items())))


def _norm(one: Trained) -> float:
    return float(np.sqrt(sum((value**2).sum() for value in one.state.weights.values())))


def test_a_dry_run_writes_what_would_be_sent_and_sends_nothing(contribution: Path, tmp_path: Path) -> None:
    with served(contribution / CONTRIBUTION_FILE) as engine:
        one = joined(engine, tmp_path)
        words = "\n".join(one.words())
        made = one.dry_run(tmp_path / "update")
        assert engine.wait_for(0, 0) == []
    assert "No event, item id, candidate, time or user id is in it" in words
    assert "cannot be taken back" in words
    assert f"{sum(v.size for v in made.update.numbers.values()):,} numbers of 8 bits" in words
    written = Contribution.from_bytes((tmp_path / "update").read_bytes())
    assert written.update.numbers.keys() == one.example.tensors.keys()
    assert not (tmp_path / "device-0" / TAKEN_FILE).exists()


def test_what_is_wrong_is_told_in_one_line(contribution: Path, certificates: Any, tmp_path: Path) -> None:
    file = contribution / CONTRIBUTION_FILE
    (tmp_path / "other").mkdir()
    with served(file, certificates) as engine:
        with pytest.raises(FederatedError, match=r"certificate of .* is not trusted .*--root-certificates") as error:
            joined(engine, tmp_path, certificates=make_certificates(tmp_path / "other"))
        one_line(error)
        plain = Coordinator(engine.address, "")
        with pytest.raises(FederatedError, match="cannot reach") as error:
            plain.training()
        one_line(error)
        own = Coordinator(engine.address, "", certificates.authority)
        with pytest.raises(FederatedError, match=r"is of model the model, and the bundle here has another") as error:
            Joined(own, dataclasses.replace(device(tmp_path), model="another"))
        one_line(error)
    with pytest.raises(FederatedError, match=r"cannot reach 127.0.0.1:.*: check the address, and that"):
        own.training()
    for address in ("nonsense", "host:0", "host:99999", ":8000"):
        with pytest.raises(ConfigError, match="is not HOST:PORT"):
            Coordinator(address, "")
    with pytest.raises(ConfigError, match="cannot read the certificates"):
        Coordinator("127.0.0.1:1", "", tmp_path / "missing.pem")
    with pytest.raises(ConfigError, match="need TLS"), serve("0.0.0.0:0", engine.offer, certificate=None, key=None):
        pass


def test_a_wrong_clock_is_told(contribution: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(contribution / CONTRIBUTION_FILE) as engine:
        monkeypatch.setattr(coordinator, "time", SimpleNamespace(time=lambda: time.time() - 7200))  # not the server's
        with pytest.raises(FederatedError, match=r"this device's clock is 120 minutes behind that of .*: set it"):
            joined(engine, tmp_path)


def test_a_server_that_knows_its_nodes_answers_no_other(contribution: Path, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    known, stranger = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    roster = [known.public_key().public_bytes_raw().hex()]
    with served(contribution / CONTRIBUTION_FILE, nodes=roster) as engine:
        for key in (None, stranger):
            with pytest.raises(FederatedError, match="this is none: give the node's key with --node-key"):
                joined(engine, tmp_path, key=key)
        joined(engine, tmp_path, key=known)
        first, second = (Coordinator(engine.address, name, None, known) for name in ("first", "second"))
        first.enter()
        with pytest.raises(FederatedError, match="has entered with another device already"):
            second.enter()


class _Cut:
    """A server that goes away in the middle of an upload: it hands everything on, but cuts a large request."""

    def __init__(self, port: int) -> None:
        self._to, self._listening = port, socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self.cuts = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            here, _ = self._listening.accept()
            threading.Thread(target=self._one, args=(here,), daemon=True).start()

    def _one(self, here: socket.socket) -> None:
        with here, socket.create_connection(("127.0.0.1", self._to)) as there:
            request = b""
            while b"\r\n\r\n" not in request:
                request += here.recv(1 << 16)
            if b"/update " in request:
                self.cuts += 1
                there.sendall(request[:200])
                return
            head, _, body = request.partition(b"\r\n\r\n")
            lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
            length = int(lines[b"Content-Length"])
            while len(body) < length:
                body += here.recv(1 << 16)
            there.sendall(head + b"\r\nConnection: close\r\n\r\n" + body)
            while piece := there.recv(1 << 16):
                here.sendall(piece)


def _when_entered(engine: Served, plan: Plan, weights: bytes, name: str) -> Iterator[Answer]:
    engine.wait_for(1, 30)
    return engine.collect(plan, weights, [name], 8.0)


def test_a_server_that_goes_away_mid_upload_gets_nothing_twice(contribution: Path, tmp_path: Path) -> None:
    from rounds_here import training, users

    with served(contribution / CONTRIBUTION_FILE) as engine:
        cut = _Cut(int(engine.address.rpartition(":")[2]))
        one = Joined(Coordinator(cut.address, ""), device(tmp_path))
        name = one._server.device
        task = dataclasses.replace(training(users(DEVICES), timeout=20.0), devices=[name])
        plan, weights = plan_of(task, 0, 0, DEVICES, live=True), task.code(task.weights)
        answers: list[Any] = []
        waiting = threading.Thread(target=lambda: answers.extend(_when_entered(engine, plan, weights, name)))
        waiting.start()
        with pytest.raises(FederatedError, match=r"went away while the update .* not sent again") as error:
            one.take_part(lambda: "", lambda line: None)
        one_line(error)
        assert cut.cuts == 1
        again = Joined(Coordinator(engine.address, ""), device(tmp_path))
        assert again._server.device == name
        lines: list[str] = []
        assert again._round(plan, lines.append) is False
        assert "has sent its update for round 0 already" in lines[0]
        waiting.join(30)
    assert [(answer.content, bool(answer.declined)) for answer in answers] == [(None, True)]


def test_an_update_of_another_round_and_what_is_no_question_are_refused(contribution: Path, tmp_path: Path) -> None:
    from rounds_here import training, users

    with served(contribution / CONTRIBUTION_FILE) as engine:
        one = Coordinator(engine.address, "one")
        one.enter()
        task = training(users(DEVICES))
        plan, answers = plan_of(task, 3, 0, DEVICES, live=True), []
        waiting = threading.Thread(target=lambda: answers.extend(engine.collect(plan, b"weights", ["one"], 30.0)))
        waiting.start()
        while one.plan() is None:
            time.sleep(0.05)
        with pytest.raises(FederatedError, match="the round is over: wait for the next one"):
            one.send("t-2-0", b"late")
        with pytest.raises(FederatedError, match="the round is over"):
            one.weights("t-2-0")
        with pytest.raises(FederatedError, match="longer than any update"):
            one.send(plan.id, bytes(engine.largest + 1))
        with pytest.raises(FederatedError, match="there is no such thing here"):
            one._ask("secrets")
        with pytest.raises(FederatedError, match="does not say of which device it is"):
            Coordinator(engine.address, "../x").enter()
        assert one.weights(plan.id) == b"weights"
        one.send(plan.id, b"an update")
        waiting.join(60)
        with pytest.raises(FederatedError, match="the round is over"):
            one.send(plan.id, b"an update")
    assert [answer.content for answer in answers] == [b"an update"]


def test_a_busy_machine_a_metered_network_and_leaving(contribution: Path, tmp_path: Path) -> None:
    with served(contribution / CONTRIBUTION_FILE) as engine:
        one = joined(engine, tmp_path)
        with pytest.raises(NotNowError, match="the network is metered"):
            one.take_part(lambda: "the network is metered", lambda line: None)
        assert engine.wait_for(0, 0) == []
        one._server.enter()
        assert engine.wait_for(1, 1) == [one._server.device]
        one.leave()
        assert engine.wait_for(0, 0) == []
        assert not (tmp_path / "device-0" / CONTRIBUTION_FILE).exists()


def test_names_of_two_trainings_cannot_be_brought_together() -> None:
    names = {name_for(secret, training) for secret in ("ab", "cd") for training in ("one", "two")}
    assert len(names) == 4


@pytest.mark.parametrize(("told", "expected"), [
    ("GENERAL.STATE:100 (connected)\nGENERAL.METERED:yes\n", True),
    ("GENERAL.STATE:100 (connected)\nGENERAL.METERED:yes (guessed)\n", True),
    ("GENERAL.STATE:30 (off)\nGENERAL.METERED:yes\n\nGENERAL.STATE:100 (connected)\nGENERAL.METERED:no\n", False),
    ("", False),
])  # fmt: skip
def test_what_network_manager_tells(told: str, expected: bool, tmp_path: Path) -> None:
    """A program of that name in PATH, for NetworkManager runs on no build machine."""
    program = tmp_path / "nmcli"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{told}END\n")
    program.chmod(0o755)
    code = "from pocketrec.device.federated.network import is_metered; print(is_metered())"
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == str(expected)
