# SPDX-License-Identifier: Apache-2.0
"""Rounds through Flower's real processes on the loopback: the same weights as on one machine, no socket elsewhere,
nothing left behind, and what happens when a node or the server is killed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rounds_here import contribution_folder, training, users

from pocketrec.cloud.federated.processes import processes
from pocketrec.cloud.federated.rounds import Trained, train
from pocketrec.device.base.errors import ConfigError, PocketRecError
from pocketrec.device.contract.federated import CONTRIBUTION_FILE

pytest.importorskip("flwr", reason="Flower is not installed: this is for `make test-flower`")
from pocketrec.flower.engine import PATIENCE, Flower, Options, claim_patience, flower

USERS = users(12)
FILE = CONTRIBUTION_FILE


def through_flower(
    folder: Path, rounds: int = 2, tls: bool = True, during: Callable[[Flower], None] | None = None, **options: Any
) -> Trained:
    """A training through two nodes; `during` runs beside it, from when the nodes are there."""
    folder.mkdir(exist_ok=True)
    with flower(contribution_folder() / FILE, USERS, folder, seed=1, options=Options(tls=tls)) as engine:
        beside = threading.Thread(target=during, args=(engine,)) if during else None
        if beside:
            beside.start()
        try:
            return train(training(USERS, rounds, **options), engine, folder)
        finally:
            family = engine.family
            if beside:
                beside.join()
            family.end()
            assert family.members() == []


def on_one_machine(folder: Path, rounds: int = 2) -> Trained:
    folder.mkdir()
    with processes(contribution_folder() / FILE, USERS, folder, seed=1, number=1) as engine:
        return train(training(USERS, rounds), engine, folder)


def assert_equal(one: Trained, two: Trained) -> None:
    for name, value in two.state.weights.items():
        np.testing.assert_allclose(one.state.weights[name], value, rtol=0, atol=1e-6)
    assert [record["accepted"] for record in one.records] == [record["accepted"] for record in two.records]


def still_there(folder: Path) -> list[str]:
    """Command lines of processes that name a folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            line = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in line and int(place.name) != os.getpid():
            found.append(line)
    return found


def test_tls_and_node_keys_give_the_rounds_of_one_machine(tmp_path: Path) -> None:
    found = through_flower(tmp_path / "flower")
    assert_equal(found, on_one_machine(tmp_path / "processes"))
    assert [record["accepted"] for record in found.records] == [12, 12]
    assert still_there(tmp_path) == []


def test_without_tls_too_and_no_socket_leaves_the_loopback(tmp_path: Path) -> None:
    """Every address that any of the processes connects, binds or sends to, as strace sees it."""
    if shutil.which("strace") is None:
        pytest.skip("no strace here")
    script = (
        "import sys; from pathlib import Path; from test_flower import through_flower\n"
        "if __name__ == '__main__':\n    through_flower(Path(sys.argv[1]), tls=False)\n"
    )
    place = tmp_path / "script.py"
    place.write_text(script)
    log = tmp_path / "addresses"
    done = subprocess.run(
        ["strace", "-f", "-qq", "-e", "trace=connect,bind,sendto,sendmsg", "-e", "signal=none", "-o", str(log),
         sys.executable, str(place), str(tmp_path / "flower")],
        capture_output=True, text=True, timeout=400,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent)])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    text = log.read_text(errors="replace")
    addresses = set(re.findall(r'sin_addr=inet_addr\("([^"]+)"\)', text))
    addresses |= set(re.findall(r'inet_pton\(AF_INET6, "([^"]+)"', text))
    assert "127.0.0.1" in addresses, "strace has seen the nodes' connections"
    assert {a for a in addresses if not (a.startswith("127.") or a in ("::1", "0.0.0.0", "::"))} == set()
    assert still_there(tmp_path) == []
    whole = Trained.load(tmp_path / "flower" / "checkpoint.npz")
    assert_equal(whole, on_one_machine(tmp_path / "processes"))


def test_a_killed_node_is_missed_and_the_rounds_end(tmp_path: Path) -> None:
    def kill(engine: Flower) -> None:
        while not (tmp_path / "flower" / "checkpoint.npz").exists():  # after the first round
            time.sleep(0.1)
        os.killpg(engine.family.started["node-1"].pid, signal.SIGKILL)

    found = through_flower(tmp_path / "flower", rounds=3, during=kill, quorum=0.4, timeout=30.0)
    assert len(found.records) == 3
    assert found.records[0]["silent"] == 0
    assert found.records[2]["silent"] == 6
    assert found.records[2]["accepted"] == 6


def test_a_killed_server_is_one_line_and_the_next_call_resumes_to_the_same_bits(tmp_path: Path) -> None:
    def kill(engine: Flower) -> None:
        while not (tmp_path / "flower" / "checkpoint.npz").exists():
            time.sleep(0.1)
        os.killpg(engine.family.started["link"].pid, signal.SIGKILL)

    with pytest.raises(PocketRecError, match="run again, which resumes") as error:
        through_flower(tmp_path / "flower", rounds=3, during=kill)
    assert "\n" not in str(error.value)
    assert 1 <= len(Trained.load(tmp_path / "flower" / "checkpoint.npz").records) < 3
    resumed, whole = through_flower(tmp_path / "flower", rounds=3), on_one_machine(tmp_path / "processes", 3)
    for name, value in whole.state.weights.items():
        np.testing.assert_array_equal(resumed.state.weights[name], value)


def test_the_claim_constant_is_there_and_is_set_before_the_server_reads_it() -> None:
    code = (
        f"from pocketrec.flower.engine import claim_patience; claim_patience({PATIENCE})\n"
        "from flwr.supercore.corestate import in_memory_corestate, sql_corestate\n"
        "print(in_memory_corestate.HEARTBEAT_DEFAULT_INTERVAL, sql_corestate.HEARTBEAT_DEFAULT_INTERVAL)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(PATIENCE)] * 2


def test_without_the_constant_the_engine_refuses_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    from flwr.common import constant

    monkeypatch.delattr(constant, "HEARTBEAT_DEFAULT_INTERVAL")
    with pytest.raises(ConfigError, match="has no HEARTBEAT_DEFAULT_INTERVAL, without which"):
        claim_patience(None)


def test_an_interpreter_without_flower_is_one_line(tmp_path: Path) -> None:
    for python, told in ((tmp_path / "none", "cannot run .*: name a Python in federate.flower"),
                         (_without_flwr(tmp_path), "the engine flower needs the package flwr")):  # fmt: skip
        with (
            pytest.raises(ConfigError, match=told) as error,
            flower(contribution_folder() / FILE, USERS, tmp_path, seed=1, options=Options(python=str(python))),
        ):
            pass
        assert "\n" not in str(error.value)


def _without_flwr(folder: Path) -> Path:
    """This interpreter, with a finder that knows no flwr."""
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(
        "import importlib.util as u\nreal = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'flwr' else real(name, package)\n"
    )
    script = folder / "python"
    script.write_text(f"#!/bin/sh\nPYTHONPATH={folder}/site:$PYTHONPATH exec {sys.executable} \"$@\"\n")
    script.chmod(0o755)
    return script
