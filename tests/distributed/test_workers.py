# SPDX-License-Identifier: Apache-2.0
"""Two TensorFlow workers on the loopback, and the one process that they must equal."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from processes import Process, free_ports, process_group, start

from pocketrec.cloud.training.meeting import meet
from pocketrec.device.base.errors import ConfigError, DataError

HERE = Path(__file__).parent
PATIENCE = 240
CONFIG = """
[data]
set = "synthetic"
synthetic = {users = 60, events = 40, items = 150}
[model]
embedding = 16
gru.hidden = 16
window = 4
dropout = 0.0
[train]
epochs = 16
patience = 16
refit = false
checkpoint_minutes = 0
[rehearse]
enabled = false
"""


def _wait(processes: list[Process], logs: list[Path]) -> list[int]:
    deadline = time.monotonic() + PATIENCE
    for process in processes:
        process.wait(max(1, deadline - time.monotonic()))
    for process, log in zip(processes, logs, strict=True):
        print(process.args, process.returncode, log.read_text(errors="replace")[-2000:])
    return [process.returncode for process in processes]


@pytest.mark.slow
def test_two_workers_equal_one(tmp_path: Path) -> None:
    """The loss of every step and the weights: full softmax with clipping, and sampled with gradients of few rows."""
    from worker import TRAININGS

    addresses = ",".join(f"127.0.0.1:{port}" for port in free_ports(2))
    logs = [tmp_path / f"{name}.log" for name in ("one", "first", "second")]
    script = "import sys, worker; from pathlib import Path; worker.main(Path(sys.argv[1]))"
    with process_group() as environment:
        environment |= {"PYTHONPATH": os.pathsep.join([str(HERE), environment.get("PYTHONPATH", "")])}
        environment |= {"TF_NUM_INTRAOP_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        several = [sys.executable, str(HERE / "worker.py"), str(tmp_path / "two"), addresses]
        processes = [
            start([sys.executable, "-c", script, str(tmp_path / "one")], environment, logs[0]),
            *(start([*several, str(index)], environment, logs[1 + index]) for index in range(2)),
        ]
        assert _wait(processes, logs) == [0, 0, 0]
    for name in TRAININGS:
        one = json.loads((tmp_path / "one" / name / "worker0.json").read_text())
        assert len(one["losses"]) > 10
        for index in range(2):
            mine = json.loads((tmp_path / "two" / name / f"worker{index}.json").read_text())
            np.testing.assert_allclose(mine["losses"], one["losses"], rtol=1e-5, atol=0)
            assert mine["validated"] == pytest.approx(one["validated"], abs=1e-6) or one["validated"][0] is None
        files = [
            tmp_path / "one" / name / "worker0.npz",
            *(tmp_path / "two" / name / f"worker{i}.npz" for i in range(2)),
        ]
        alone, first, second = (list(np.load(file).values()) for file in files)
        for here, there, other in zip(alone, first, second, strict=True):
            np.testing.assert_allclose(there, here, atol=2e-5)
            np.testing.assert_array_equal(other, there)
        assert (tmp_path / "two" / name / "model.keras").exists()


@pytest.mark.slow
def test_a_killed_worker_ends_the_training_and_it_goes_on(tmp_path: Path) -> None:
    """One line and status 2; the same commands continue from the checkpoint, to the weights of an unbroken run."""
    (tmp_path / "c.toml").write_text(CONFIG)
    whole, broken = tmp_path / "whole", tmp_path / "broken"

    def begin(out: Path, environment: dict[str, str]) -> tuple[list[Process], list[Path]]:
        addresses = ",".join(f"127.0.0.1:{port}" for port in free_ports(2))
        logs = [tmp_path / f"{out.name}{index}.log" for index in range(2)]
        command = [sys.executable, "-m", "pocketrec.cli", "train", str(tmp_path / "c.toml"), "--out", str(out)]
        several = [[*command, "--workers", addresses, "--index", str(index)] for index in range(2)]
        return [start(several[index], environment, logs[index]) for index in range(2)], logs

    with process_group() as environment:
        environment |= {"TF_NUM_INTRAOP_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        processes, logs = begin(broken, environment)
        history, deadline = broken / "metrics.jsonl", time.monotonic() + PATIENCE
        while not history.exists() or len(history.read_text().splitlines()) < 2:
            assert processes[0].poll() is None, logs[0].read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(processes[1].pid, signal.SIGKILL)
        assert _wait(processes, logs) == [2, -signal.SIGKILL]
        last = logs[0].read_text().splitlines()[-1]
        assert last.startswith("error: another worker is gone")
        done = len(history.read_text().splitlines())
        assert done < 16
        processes, logs = begin(broken, environment)
        assert _wait(processes, logs) == [0, 0]
        assert "resumes" in logs[0].read_text()
        processes, logs = begin(whole, environment)
        assert _wait(processes, logs) == [0, 0]
    once, twice = (np.load(out / "train" / "model.checkpoint.npz") for out in (whole, broken))
    for name in once.files:
        if name.startswith("weights") and once[name].dtype.kind == "f":
            np.testing.assert_array_equal(once[name], twice[name])


def test_wrong_workers_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from pocketrec.cloud.training.distributed import connect

    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert connect(None, None) is None
    with pytest.raises(ConfigError, match="both --workers and --index"):
        connect("a:1,b:1", None)
    with pytest.raises(ConfigError, match="is not one of the 2 workers"):
        connect("a:1,b:1", 2)
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1", "b:1"]}}')
    with pytest.raises(ConfigError, match="TF_CONFIG must be like"):
        connect(None, None)
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}')
    assert connect(None, None) is None
    with pytest.raises(ConfigError, match="not like host:port"):
        connect("a:1,b", 0)
    with pytest.raises(ConfigError, match="same host and port"):
        connect("a:1,a:1", 0)


def test_workers_meet_or_say_who_is_missing() -> None:
    ports = free_ports(3)
    addresses = [f"127.0.0.1:{port}" for port in ports]
    with ThreadPoolExecutor(3) as pool:
        for met in [pool.submit(meet, addresses, index, 30) for index in (2, 0, 1)]:
            met.result()
        first, second = (pool.submit(meet, addresses, index, patience) for index, patience in ((0, 2), (1, 4)))
        with pytest.raises(DataError, match=f"missing: 2 \\({addresses[2]}\\)"):
            first.result()
        with pytest.raises(DataError, match=r"worker 0 .* did not start this worker"):
            second.result()
    with (
        socket.create_server(("127.0.0.1", ports[0])),
        pytest.raises(ConfigError, match=f"cannot listen at port {ports[0]}"),
    ):
        meet(addresses, 0, 1)
