# SPDX-License-Identifier: Apache-2.0
"""Engine `processes`: real contribution files, in processes as devices have them."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from exported import shaken
from traces import traces

from pocketrec.cloud.backbones import ITEM_EMBEDDING
from pocketrec.cloud.config.evaluate import EvaluateConfig
from pocketrec.cloud.config.export import ExportConfig
from pocketrec.cloud.config.federate import FederateConfig
from pocketrec.cloud.config.model import ModelConfig
from pocketrec.cloud.config.ranker import RankerConfig
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.federated.device import federated_users
from pocketrec.cloud.federated.events import LaterEvents
from pocketrec.cloud.federated.judging import RoundJudge
from pocketrec.cloud.federated.processes import Processes, processes
from pocketrec.cloud.federated.rounds import Trained, Training, plan_of, train
from pocketrec.device.base.digest import sha256_of
from pocketrec.device.base.errors import FederatedError
from pocketrec.device.federated.code import from_bytes
from pocketrec.device.federated.contribution import Contribution
from pocketrec.export.federated.broadcast import round_weights
from pocketrec.export.federated.build import ALL, ContributionFile, build_contribution, set_weights

ITEMS = 12
CONFIG = ModelConfig(embedding=8, window=5, dropout=0.0).with_options("gru", hidden=12, hidden_dropout=0.0)


def events() -> LaterEvents:
    """20 users of 10 to 14 events before a cut-off at time 100 and 8 after it, of which they learn from 6; after it
    everybody goes from item i to i + 1, and before it at random. User 0 has 3 events after it, and learns from 2."""
    rng = np.random.default_rng(0)
    rows: list[tuple[int, int, int]] = []
    for user in range(20):
        rows += [(user, int(rng.integers(1, ITEMS + 1)), time) for time in range(int(rng.integers(10, 15)))]
        first, count = int(rng.integers(1, ITEMS + 1)), 8 if user else 3
        rows += [(user, (first + step - 1) % ITEMS + 1, 100 + step) for step in range(count)]
    codes, items, times = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    whole = Sequences.build(np.array([f"somebody-{user:02}" for user in range(20)], object), codes, items, times)
    before, after = whole.cut(100)
    return LaterEvents(before, after, np.where(after.lengths > 3, 6, 2))


@pytest.fixture(scope="module")
def file() -> ContributionFile:
    return build_contribution(shaken(CONFIG, ITEMS, 0.05), CONFIG, ExportConfig(batch=2), tensors=ALL, table_limit=100)


@contextlib.contextmanager
def stopped(engine: Processes) -> Iterator[None]:
    """The engine's processes stand still, so that no answer can be there in time."""
    for process in engine._pool._processes:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in engine._pool._processes:
            os.kill(process, signal.SIGCONT)


def trained(file: ContributionFile, folder: Path, number: int = 1, rounds: int = 6) -> Trained:
    folder.mkdir(exist_ok=True)
    path, users = folder / "contribution.tflite", federated_users(events())
    path.write_bytes(file.content)
    training = given(file, users, rounds)
    with processes(path, users, folder, seed=1, number=number) as engine:
        return train(training, engine, folder)


def given(file: ContributionFile, users: object, rounds: int = 6) -> Training:
    config = FederateConfig(share=0.7, minimum_events=5)
    return Training("t", config, rounds, 0.05, file.weights, sha256_of(file.content), list(users),  # type: ignore[call-overload]
                    seed=1, items=ITEMS, code=lambda weights: round_weights(weights, 8))  # fmt: skip


def test_devices_improve_the_model_for_what_they_do_next(file: ContributionFile, tmp_path: Path) -> None:
    found = trained(file, tmp_path, rounds=30)
    model, later = shaken(CONFIG, ITEMS, 0.05), events()
    judge = RoundJudge(model, set_weights, later, EvaluateConfig(), RankerConfig(), window=5, causal=True)
    assert judge.users == 20
    before, after = judge.values(file.weights), judge.values(found.state.weights)
    assert after.mean() > before.mean() + 0.1
    assert sum(record["declined"] for record in found.records) > 0, "user 0 has too few events"
    assert all(record["accepted"] == record["chosen"] - record["declined"] for record in found.records)


def test_the_number_of_processes_changes_no_bit(file: ContributionFile, tmp_path: Path) -> None:
    one, two = trained(file, tmp_path / "one", 1, 2), trained(file, tmp_path / "two", 2, 2)
    for name, value in one.state.weights.items():
        np.testing.assert_array_equal(two.state.weights[name], value)


def test_what_leaves_a_device_are_the_tensors_of_the_plan_and_bytes_alike_for_all(
    file: ContributionFile, tmp_path: Path
) -> None:
    path, users = tmp_path / "contribution.tflite", federated_users(events())
    path.write_bytes(file.content)
    training = given(file, users)
    with processes(path, users, tmp_path, seed=1, number=1) as engine:
        plan = plan_of(training, 0, 0, 20, live=False)
        weights = round_weights(file.weights, 8)
        answers = {one.device: one for one in engine.collect(plan, weights, list(users), 60)}
        with stopped(engine):
            late = list(engine.collect(plan, weights, ["somebody-01"], 0.0))
        other = list(engine.collect(dataclasses.replace(plan, model="00"), weights, ["somebody-01"], 60))
        few = list(engine.collect(dataclasses.replace(plan, devices=9), weights, ["somebody-01"], 60))
    assert list(answers) == list(users), "in the order in which they were asked"
    assert "2 events to learn from" in answers.pop("somebody-00").declined
    assert late[0].content is None
    assert late[0].declined == ""
    assert "of another model" in other[0].declined
    assert "fewer than 10" in few[0].declined
    names = set(file.weights)
    assert ITEM_EMBEDDING in names
    for name, answer in answers.items():
        assert answer.content is not None
        assert traces(answer.content, name) == []
        update, texts = from_bytes(answer.content)
        assert set(update.numbers) == names
        assert set(texts) == {"plan", "round", "weight"}
        assert Contribution.from_bytes(answer.content).weight == 1
    sizes = [len(answer.content or b"") for answer in answers.values()]
    assert max(sizes) - min(sizes) <= 24 * len(names), "only the digits of the scales differ"


def test_a_fleet_with_another_file_is_one_line(file: ContributionFile, tmp_path: Path) -> None:
    path, users = tmp_path / "contribution.tflite", federated_users(events())
    path.write_bytes(file.content)
    training = given(file, users)
    other = dataclasses.replace(training, model="00")
    with processes(path, users, tmp_path, seed=1, number=1) as engine, pytest.raises(FederatedError) as caught:
        train(other, engine, tmp_path)
    assert "of another model than the contribution file here: fetch both again" in str(caught.value)
