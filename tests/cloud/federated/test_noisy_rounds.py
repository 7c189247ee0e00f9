# SPDX-License-Identifier: Apache-2.0
"""Rounds with noise: they stop at the limit of epsilon and resume to the same bits."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from quadratic import Fleet, loss, points, training

from pocketrec.cloud.config.federate import FederateConfig
from pocketrec.cloud.federated.privacy import epsilon, usual_delta
from pocketrec.cloud.federated.rounds import CHECKPOINT_FILE, ledger_of, train
from pocketrec.device.base.errors import ConfigError
from pocketrec.stages.federate import privacy_facts

FLEET = points(60)
NOISY = {"noise": 1.0, "clip": 4.0}


def test_rounds_stop_before_epsilon_passes_the_limit(tmp_path: Path) -> None:
    three = epsilon(0.5, 1.0, 3, usual_delta(60))
    trained = train(training(FLEET, rounds=6, epsilon=three + 0.01, **NOISY), Fleet(FLEET), tmp_path)
    assert len(trained.records) == 3
    assert trained.stopped.startswith("round 4 would bring epsilon to ")
    assert ledger_of(training(FLEET, **NOISY).config, 60, 3).spent == three


def test_a_limit_below_one_round_is_told_in_one_line_and_nothing_is_asked(tmp_path: Path) -> None:
    fleet = Fleet(FLEET)
    with pytest.raises(ConfigError, match=r"round 1 would bring epsilon to .*, above federate.epsilon 0.1: more noise"):
        train(training(FLEET, epsilon=0.1, **NOISY), fleet, tmp_path)
    assert fleet.calls == 0


def test_noise_costs_little_with_many_devices_and_is_the_same_after_a_kill(tmp_path: Path) -> None:
    many = points(400)
    task = training(many, rounds=8, noise=0.3, clip=4.0)
    whole = train(task, Fleet(many), _folder(tmp_path, "whole"))
    assert loss(whole.state.weights, many) < 0.2 * loss(task.weights, many)
    part = _folder(tmp_path, "part")
    train(training(many, rounds=5, noise=0.3, clip=4.0), Fleet(many), part)
    resumed = train(task, Fleet(many), part)
    for name, value in whole.state.weights.items():
        np.testing.assert_array_equal(resumed.state.weights[name], value)
    assert (part / CHECKPOINT_FILE).exists()


def test_another_secret_gives_other_noise(tmp_path: Path) -> None:
    task = training(FLEET, rounds=1, **NOISY)
    one = train(task, Fleet(FLEET), _folder(tmp_path, "one"))
    two = train(dataclasses.replace(task, noise_secret=5), Fleet(FLEET), _folder(tmp_path, "two"))
    assert any((one.state.weights[name] != value).any() for name, value in two.state.weights.items())


@pytest.mark.parametrize(("options", "told"), [
    ({"noise": 1.0, "clip": 0.0}, "noise needs clip"),
    ({"noise": 1.0, "devices": 20}, "noise needs clip, share"),
    ({"noise": 1.0, "weight": "size"}, "weight = uniform"),
    ({"epsilon": 3.0}, "epsilon needs noise"),
    ({"noise": 1.0, "delta": 1.0}, "delta must lie"),
])  # fmt: skip
def test_what_the_bound_does_not_hold_for_is_refused(options: dict[str, float], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        FederateConfig(**options)  # type: ignore[arg-type]


def _folder(path: Path, name: str) -> Path:
    (path / name).mkdir()
    return path / name


def test_card_and_metrics_tell_noise_delta_and_epsilon_and_nothing_where_there_is_none() -> None:
    told = {"devices": 60, "rounds": [{}] * 3}
    facts = privacy_facts(told, FederateConfig(share=0.5, noise=1.0))
    assert facts == {"noise": 1.0, "delta": usual_delta(60),
                     "epsilon": pytest.approx(epsilon(0.5, 1.0, 3, usual_delta(60)), abs=1e-4)}  # fmt: skip
    assert privacy_facts(told, FederateConfig(share=0.5)) == {}
