# SPDX-License-Identifier: Apache-2.0
"""Federated rounds: what is refused, how sums are formed, and that nothing ends or bends a training."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from quadratic import SHAPES, START, Fleet, coded, loss, points, sent, training

from pocketrec.cloud.config.federate import FederateConfig
from pocketrec.cloud.config.model import ModelConfig
from pocketrec.cloud.federated.choice import best, share_of_gain, trial
from pocketrec.cloud.federated.rounds import ATTEMPTS, CHECKPOINT_FILE, Trained, choose, plan_of, train
from pocketrec.cloud.federated.server import ServerState, Sum, check, is_sound, step
from pocketrec.device.base.errors import DataError, FederatedError
from pocketrec.device.federated.code import Coded, encode
from pocketrec.device.federated.contribution import Contribution, norm_of
from pocketrec.device.federated.plan import Plan

DEVICES = points(40)


def done(folder: Path, meddle: Any = None, **changes: Any) -> Trained:
    return train(training(DEVICES, **changes), Fleet(DEVICES, meddle), folder)


def gain(trained: Trained) -> float:
    """How much nearer the best weights are."""
    return loss(START, DEVICES) - loss(trained.state.weights, DEVICES)


def test_rounds_lead_to_the_mean_of_what_devices_want(tmp_path: Path) -> None:
    trained = done(tmp_path, rounds=25, share=1.0)
    assert loss(trained.state.weights, DEVICES) < 0.05 * loss(START, DEVICES)
    assert [record["round"] for record in trained.records] == list(range(25))
    for record in trained.records:
        assert record["accepted"] == record["chosen"]
        assert not record["refused"]
        assert min(record["bytes_up"], record["bytes_down"]) > 0


@pytest.mark.parametrize("bits", [4, 8, 32])
def test_few_bits_cost_little(tmp_path: Path, bits: int) -> None:
    exact = gain(done(tmp_path / "exact", bits=32))
    assert gain(done(tmp_path / "few", bits=bits)) > 0.95 * exact


FAULTS = {
    "40 % silent": lambda plan, device, made, call: None if call % 5 < 2 else made.to_bytes(),
    "not a number": lambda plan, device, made, call: _with(made, np.nan) if call % 5 == 0 else made.to_bytes(),
    "infinite": lambda plan, device, made, call: _with(made, np.inf) if call % 5 == 0 else made.to_bytes(),
    "huge": lambda plan, device, made, call: _with(made, 1e6) if call % 5 == 0 else made.to_bytes(),
    "other shapes": lambda plan, device, made, call: _cut(made) if call % 5 == 0 else made.to_bytes(),
    "cut short": lambda plan, device, made, call: made.to_bytes()[:-7] if call % 5 == 0 else made.to_bytes(),
    "no update at all": lambda plan, device, made, call: b"hello" if call % 5 == 0 else made.to_bytes(),
    "counts a million": lambda plan, device, made, call: (
        dataclasses.replace(made, weight=10**6).to_bytes() if call % 5 == 0 else made.to_bytes()
    ),
    "of the round before": lambda plan, device, made, call: (
        dataclasses.replace(made, plan=f"t-{plan.round - 1}-0").to_bytes() if call % 5 == 0 else made.to_bytes()
    ),
    "10 % flipped": lambda plan, device, made, call: _with(made, -1.0) if call % 10 == 0 else made.to_bytes(),
}  # fmt: skip


def _with(made: Contribution, factor: float) -> bytes:
    """The same in float32 times a factor where the plan has 32 bits, else with its scales changed."""
    if made.update.bits == 32:
        numbers = {name: (value * np.float32(factor)).astype(np.float32) for name, value in made.update.numbers.items()}
        return dataclasses.replace(made, update=Coded(32, numbers, made.update.scales)).to_bytes()
    scales = {name: scale * abs(factor) for name, scale in made.update.scales.items()}
    numbers = {name: (value * np.sign(factor)).astype(np.int8) if np.isfinite(factor) else value
               for name, value in made.update.numbers.items()}  # fmt: skip
    return dataclasses.replace(made, update=Coded(made.update.bits, numbers, scales)).to_bytes()


def _cut(made: Contribution) -> bytes:
    numbers = {name: value[:-1] for name, value in made.update.numbers.items()}
    return dataclasses.replace(made, update=Coded(made.update.bits, numbers, made.update.scales)).to_bytes()


@pytest.mark.parametrize("bits", [8, 32])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_neither_ends_the_training_nor_costs_a_tenth_of_the_gain(
    tmp_path: Path, fault: str, bits: int
) -> None:
    clean = gain(done(tmp_path / "clean", bits=bits))
    trained = done(tmp_path / "fault", FAULTS[fault], bits=bits)
    assert len(trained.records) == 6
    assert not trained.stopped
    assert gain(trained) >= 0.9 * clean
    refused = [sum(record["refused"].values()) for record in trained.records]
    silent = [record["silent"] for record in trained.records]
    if fault == "40 % silent":
        assert min(silent) > 0
    elif fault != "10 % flipped":  # which no check can tell from an honest device
        assert min(refused) > 0


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_with_a_reason(content: bytes) -> None:
    plan = plan_of(training(DEVICES), 0, 0, 20, live=False)
    assert check(content, plan, "d001", set()) == "not a whole, unaltered update"


def test_one_device_counts_once_a_round() -> None:
    plan = plan_of(training(DEVICES), 0, 0, 20, live=False)
    made = sent(plan, {name: np.zeros(shape, np.float32) for name, shape in SHAPES.items()}, DEVICES["d001"], "d001")
    assert isinstance(check(made.to_bytes(), plan, "d001", set()), Contribution)
    assert check(made.to_bytes(), plan, "d001", {"d001"}) == "a second update of one device"


def test_devices_that_decline_are_not_missed(tmp_path: Path) -> None:
    class Declining(Fleet):
        def collect(self, plan: Plan, weights: bytes, devices: Any, timeout: float) -> Any:
            for place, answer in enumerate(super().collect(plan, weights, devices, timeout)):
                yield dataclasses.replace(answer, content=None, declined="too few") if place % 4 else answer

    trained = train(training(DEVICES, rounds=2, quorum=1.0), Declining(DEVICES), tmp_path)
    assert all(record["declined"] > record["accepted"] > 0 and record["begun"] == 1 for record in trained.records)


def test_where_every_device_declines_their_reason_is_the_message(tmp_path: Path) -> None:
    class Declining(Fleet):
        def collect(self, plan: Plan, weights: bytes, devices: Any, timeout: float) -> Any:
            for answer in super().collect(plan, weights, devices, timeout):
                yield dataclasses.replace(answer, content=None, declined="the round has 9 devices")

    with pytest.raises(FederatedError, match="declined, 10 times: the round has 9 devices"):
        train(training(DEVICES), Declining(DEVICES), tmp_path)


def test_a_round_without_quorum_is_begun_again_with_others_and_ends_in_one_line(tmp_path: Path) -> None:
    void: list[str] = []

    def meddle(plan: Plan, device: str, made: Contribution, call: int) -> bytes | None:
        void.append(plan.id)
        return None if plan.id == "t-1-0" else made.to_bytes()

    trained = done(tmp_path / "once", meddle, rounds=3)
    assert [record["begun"] for record in trained.records] == [1, 2, 1]
    assert {"t-1-0", "t-1-1"} <= set(void)
    with pytest.raises(FederatedError, match=f"{ATTEMPTS} times") as caught:
        done(tmp_path / "never", lambda plan, device, made, call: None if plan.round else made.to_bytes())
    assert "\n" not in str(caught.value)
    assert len(Trained.load(tmp_path / "never" / CHECKPOINT_FILE).records) == 1, "the rounds before it are kept"


def test_a_training_that_diverges_stops_at_the_last_sound_weights(tmp_path: Path) -> None:
    trained = done(tmp_path, rounds=8, rate=60.0, optimizer="avg")
    assert "diverged" in trained.stopped
    assert len(trained.records) < 8
    assert is_sound(trained.state.weights, START)
    assert done(tmp_path, rounds=8, rate=60.0, optimizer="avg").records == trained.records, "and stays stopped"


@pytest.mark.parametrize("killed_in", range(4))
def test_a_server_killed_in_any_round_continues_to_the_same_bits(tmp_path: Path, killed_in: int) -> None:
    """By SIGKILL, in the middle of a round, in a process of its own; what follows begins with the file that it left."""
    whole = done(tmp_path / "whole", rounds=4, visits=3, share=0.3)
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from quadratic import Fleet, points, training\n"
        "from pocketrec.cloud.federated.rounds import train\n"
        "devices = points(40)\n"
        "def meddle(plan, device, made, call):\n"
        f"    if plan.round == {killed_in} and device > 'd015':\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return made.to_bytes()\n"
        "train(training(devices, rounds=4, visits=3, share=0.3), Fleet(devices, meddle), Path(sys.argv[1]))\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path / "killed")], check=False,
                            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})  # fmt: skip
    assert killed.returncode == -9
    again = done(tmp_path / "killed", rounds=4, visits=3, share=0.3)
    for part in ("weights", "first", "second"):
        for name, value in getattr(whole.state, part).items():
            np.testing.assert_array_equal(getattr(again.state, part)[name], value)
    assert again.visits == whole.visits
    assert max(whole.visits.values()) <= 3
    times = ("seconds", "device_ms")
    assert [{k: v for k, v in record.items() if k not in times} for record in again.records] == [
        {k: v for k, v in record.items() if k not in times} for record in whole.records
    ]


def test_a_damaged_checkpoint_is_one_line(tmp_path: Path) -> None:
    done(tmp_path, rounds=1)
    path = tmp_path / CHECKPOINT_FILE
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="is damaged"):
        done(tmp_path, rounds=2)


def test_devices_are_drawn_alike_for_equal_seeds_and_each_with_the_share() -> None:
    given_ = training(points(400), share=0.3)
    drawn = [choose(given_, {}, number, 0) for number in range(30)]
    assert drawn == [choose(given_, {}, number, 0) for number in range(30)]
    assert len({tuple(one) for one in drawn}) == 30
    sizes = [len(one) for one in drawn]
    assert abs(np.mean(sizes) - 120) < 4 * np.sqrt(400 * 0.3 * 0.7 / 30)
    assert all(one == sorted(one) for one in drawn)
    assert choose(given_, {}, 0, 0) != choose(given_, {}, 0, 1), "a void round is begun with others"
    assert len(choose(training(points(400), devices=25), {}, 0, 0)) == 25
    with pytest.raises(FederatedError, match=r"federate\.visits"):
        choose(training(DEVICES, visits=1), dict.fromkeys(DEVICES, 1), 0, 0)


def test_a_sum_is_weighted_and_a_bound_on_each_update_is_kept() -> None:
    rng = np.random.default_rng(1)
    parts = [{name: rng.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()} for _ in range(3)]
    total, bounded = Sum(), Sum()
    for weight, part in zip((1, 2, 5), parts, strict=True):
        made = Contribution("p", 0, weight, encode(part, 32, 0))
        total.add(made)
        bounded.add(dataclasses.replace(made, weight=1), clip=0.01)
    for name, value in total.mean().items():
        wanted = (parts[0][name] + 2.0 * parts[1][name] + 5.0 * parts[2][name]) / 8
        np.testing.assert_allclose(value, wanted, rtol=1e-6)
    assert norm_of({name: value.astype(np.float32) for name, value in bounded.total.items()}) <= 0.03 + 1e-6


def test_steps_are_the_books() -> None:
    weights = {"w": np.array([1.0, 0.0, -2.0], np.float32)}
    mean = {"w": np.array([0.5, -0.5, 1.0], np.float32)}
    state = ServerState.of(weights)
    np.testing.assert_allclose(step(state, mean, "avg", 0.1).weights["w"], weights["w"] - 0.1 * mean["w"])
    np.testing.assert_allclose(step(state, mean, "adam", 0.1).weights["w"],
                               weights["w"] - 0.1 * np.sign(mean["w"]), atol=1e-4)  # fmt: skip
    twice = step(step(state, mean, "momentum", 0.1), mean, "momentum", 0.1)
    np.testing.assert_allclose(twice.weights["w"], weights["w"] - 0.1 * (1 + 1.9) * mean["w"], rtol=1e-6)
    kept = step(state, mean, "adam", 0.1, {"w"}).weights["w"]
    assert kept[1] == 0.0
    assert kept[0] != 1.0


def test_a_rate_falls_evenly_or_stays() -> None:
    falling, steady = (training(DEVICES, rounds=4, rate=0.2, decay=name) for name in ("linear", "constant"))
    np.testing.assert_allclose([falling.rate_of(number) for number in range(4)], [0.2, 0.15, 0.1, 0.05])
    assert [steady.rate_of(number) for number in range(4)] == [0.2] * 4


def test_devices_are_told_the_dropout() -> None:
    asked = dataclasses.replace(training(DEVICES), dropout=0.3)
    assert [plan_of(one, 0, 0, 20, live=False).dropout for one in (asked, training(DEVICES))] == [0.3, 0.0]
    model = ModelConfig(dropout=0.4)
    assert [FederateConfig(dropout=wanted).dropout_of(model) for wanted in (True, False)] == [0.4, 0.0]


def test_few_devices_a_round_lead_nearer_with_a_rate_that_falls(tmp_path: Path) -> None:
    left = {name: loss(done(tmp_path / name, rounds=40, rate=0.2, share=0.1, decay=name).state.weights, DEVICES)
            for name in ("linear", "constant")}  # fmt: skip
    assert left["linear"] < 0.5 * left["constant"]


def test_what_a_device_fetches_is_the_weights() -> None:
    from pocketrec.device.contract.packed import decode

    weights = {name: np.ones(shape, np.float32) for name, shape in SHAPES.items()}
    assert decode(coded(weights)).keys() == weights.keys()


def test_the_rehearsal_chooses_the_largest_sure_gain_or_none() -> None:
    rng = np.random.default_rng(0)
    before = rng.random(300)
    sure, larger = before + rng.normal(0.02, 0.05, 300), before + rng.normal(0.03, 0.05, 300)
    noisy = before + rng.normal(0.0, 5.0, 300)
    trials = [trial(0.001, 4, before, sure, 500, 1), trial(0.001, 8, before, larger, 500, 1),
              trial(0.002, 4, before, noisy, 500, 1)]  # fmt: skip
    assert trials[0]["chance"] > 0.99
    assert trials[0]["gain"]["low"] < trials[0]["gain"]["mean"] < trials[0]["gain"]["high"]
    assert best(trials, 0.9) == {"rate": 0.001, "rounds": 8}
    harmful = trial(0.001, 4, before, before - 0.01, 500, 1)
    assert harmful["chance"] == 0.0
    assert best([harmful], 0.5) is None
    assert best([trial(0.001, 4, before, before, 500, 1)], 0.5) is None, "no gain is none"


def test_the_share_of_a_gain_has_bounds_only_where_there_surely_is_one() -> None:
    rng = np.random.default_rng(0)
    users = rng.random(400)
    central = users + 0.1 + rng.normal(0, 0.05, 400)
    found = share_of_gain(users, users + 0.09, central, 500, 1)
    assert found["low"] < found["mean"] < found["high"]  # type: ignore[operator]
    assert found["mean"] == pytest.approx(0.9, abs=0.05)
    assert share_of_gain(users, users, users + rng.normal(0, 1, 400), 500, 1)["low"] is None
    assert share_of_gain(users, users, users - 0.1, 500, 1)["mean"] is None
