# SPDX-License-Identifier: Apache-2.0
"""A training that is broken off within an epoch, or killed at any moment, goes on and ends with the same weights."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_train import CONFIG, ITEMS, MODEL, StoppedError, cycles, same, weights

from pocketrec.cloud.config.training import SessionOptions
from pocketrec.cloud.training import batches as train_batches
from pocketrec.cloud.training import sessions as train_sessions
from pocketrec.cloud.training import trainer as training
from pocketrec.cloud.training.trainer import TrainJob, train


@pytest.mark.parametrize(
    "options",
    [
        {},
        pytest.param(
            {
                "batching": "sessions",
                "loss": "cross_entropy",
                "negatives": 3,
                "tables": {"sessions": SessionOptions(unroll=2)},
            },
            marks=pytest.mark.long,
        ),
    ],
)
def test_broken_off_within_an_epoch_it_goes_on_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    """With blocks and calls of a few steps, and a checkpoint after each: the state of the sessions is in it, too."""
    monkeypatch.setattr(training, "_STEPS", 2)
    for module in (train_batches, train_sessions):
        monkeypatch.setattr(module, "BLOCK", 100)
    config = dataclasses.replace(CONFIG, epochs=2, validation=0.0, checkpoint_minutes=1e-9, **options)
    places: list[int] = []

    def stop(done: int, total: int, note: str = "") -> None:
        places.append(done)
        if len(places) in (4, 9):
            raise StoppedError

    for _ in range(2):
        with pytest.raises(StoppedError):
            train(TrainJob(MODEL, config, cycles(30), ITEMS, seed=5), tmp_path / "broken", progress=stop)
    resumed = train(TrainJob(MODEL, config, cycles(30), ITEMS, seed=5), tmp_path / "broken", progress=stop)
    broken, places = places, []
    job = TrainJob(MODEL, config, cycles(30), ITEMS, seed=5)
    undisturbed = train(job, tmp_path / "whole", progress=lambda done, *_: places.append(done))
    assert same(weights(resumed.model), weights(undisturbed.model))
    assert [e["loss"] for e in resumed.history] == [e["loss"] for e in undisturbed.history]
    assert sorted(set(broken)) == places
    assert len(broken) == len(places) + 2  # what the two calls that were broken off had started was done again


_KILLER = """
import os, random, signal, sys, time
from pathlib import Path
import numpy as np
from pocketrec.cloud.training import trainer as training, batches as train_batches, sessions as train_sessions
from pocketrec.cloud.config.model import GruOptions, ModelConfig
from pocketrec.cloud.config.training import PruneConfig, SessionOptions, TrainConfig
from pocketrec.cloud.data.sequences import Sequences

folder, batching, kills = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
training._STEPS, train_batches.BLOCK, train_sessions.BLOCK = 3, 60, 60
model = ModelConfig(embedding=8, window=6, dropout=0.2, tables={"gru": GruOptions(hidden=12, layers=1)})
config = TrainConfig(
    epochs=8, batch=4, validation=0.2, patience=8, batching=batching, checkpoint_minutes=1e-9,
    tables={"sessions": SessionOptions(unroll=6)},
)
log = Sequences.load(folder / "log.npz")

def run(name, tell):
    told = lambda *_: os.write(tell, b".")
    job = training.TrainJob(model, config, log, 15, PruneConfig(enabled=True, every=3), seed=2)
    trained = training.train(job, folder / name, progress=told)
    np.savez(folder / f"{name}.npz", *trained.model.get_weights())

def fork(name):
    # TensorFlow is imported and has not been used: a process is there at once, and may be forked.
    listen, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        run(name, tell)
        os._exit(0)
    os.close(tell)
    return pid, listen

def follow(listen, calls):
    while calls and os.read(listen, 1):
        calls -= 1

draw = random.Random(7)
for kill in range(kills):
    pid, listen = fork("killed")
    if draw.random() < 0.8:
        follow(listen, draw.randrange(1, 20))
    time.sleep(draw.random() * 0.02)
    os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    assert os.WIFSIGNALED(status), f"over before kill {kill}: give it more epochs"
for name in ("killed", "whole"):
    assert os.waitpid(fork(name)[0], 0)[1] == 0
"""


@pytest.mark.long  # every process starts TensorFlow; the short suite breaks trainings off within one, above
@pytest.mark.parametrize(("batching", "kills"), [("windows", 6), ("sessions", 2)])
def test_killed_at_random_moments_and_resumed_it_ends_with_the_same_bits(
    tmp_path: Path, batching: str, kills: int
) -> None:
    """SIGKILL at random moments, before and within epochs and while checkpoints are written, with pruning."""
    cycles(60).save(tmp_path / "log.npz")
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([sys.executable, "-c", _KILLER, str(tmp_path), batching, str(kills)], env=environment, check=True)
    with np.load(tmp_path / "whole.npz") as one, np.load(tmp_path / "killed.npz") as two:
        assert one.files == two.files
        assert all(np.array_equal(one[name], two[name]) for name in one.files)
