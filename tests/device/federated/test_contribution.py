# SPDX-License-Identifier: Apache-2.0
"""What a device contributes: code, plan, rounds taken part in. A linear model of its own stands in for the file where
the runtime adds nothing (`tests/export/federated` runs the real one)."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketrec.device.base.errors import FederatedError
from pocketrec.device.federated.code import Coded, encode, from_bytes, largest, to_bytes
from pocketrec.device.federated.contribution import (
    Contribution,
    clipped,
    contribute,
    norm_of,
    refusal,
    targets_of,
)
from pocketrec.device.federated.plan import Plan
from pocketrec.device.federated.taken import Taken, load_taken, save_taken

PLAN = Plan("t-0-0", "t", 0, "ab", {"w": [2, 3], "b": [3]}, devices=20)


class Counting:
    """gradient = number of events seen in w, of targets in b: known sums, without a runtime."""

    batch, window, targets, negatives, size = 2, 4, 4, 0, 3

    def __init__(self) -> None:
        self.tensors = {"b": (3,), "w": (2, 3)}
        self.weights: list[dict[str, Any]] = []
        self.kept: list[Any] = []

    def set_weights(self, weights: Any) -> None:
        self.weights.append({name: value.copy() for name, value in weights.items()})

    def gradient(self, items: Any, targets: Any, negatives: Any = None, kept: Any = None) -> Any:
        self.kept.append(kept)
        events, count = int((items > 0).sum()), int((targets > 0).sum())
        return 0.0, count, {"w": np.full((2, 3), events, np.float32), "b": np.full(3, count, np.float32)}


WEIGHTS = {"w": np.zeros((2, 3), np.float32), "b": np.zeros(3, np.float32)}


@pytest.mark.parametrize("bits", [4, 8, 32])
def test_bytes_are_read_back_and_numbers_are_within_one_step(bits: int) -> None:
    rng = np.random.default_rng(0)
    tensors = {"w": rng.normal(0, 3, (5, 7)).astype(np.float32), "b": np.zeros(3, np.float32)}
    coded = encode(tensors, bits, seed=5)
    back, texts = from_bytes(to_bytes(coded, {"x": "y"}))
    assert texts == {"x": "y"}
    for name, value in tensors.items():
        np.testing.assert_array_equal(back.numbers[name], coded.numbers[name])
        assert np.abs(back.tensors[name] - value).max() <= (0 if bits == 32 else coded.scales[name] * 1.0001)
    assert to_bytes(encode(tensors, bits, seed=5), {}) == to_bytes(encode(tensors, bits, seed=5), {})


@pytest.mark.parametrize("bits", [4, 8])
def test_the_mean_of_many_roundings_is_the_value(bits: int) -> None:
    value = {"w": np.array([1.0, 0.013, -0.4], np.float32)}
    mean = np.mean([encode(value, bits, seed).tensors["w"] for seed in range(4000)], axis=0)
    step = 1.0 / largest(bits)
    np.testing.assert_allclose(mean, value["w"], atol=4 * step / np.sqrt(4000))


def test_shared_scales_make_numbers_that_add_up() -> None:
    parts = [{"w": np.array([0.2, -0.1], np.float32)}, {"w": np.array([0.1, 9.0], np.float32)}]
    coded = [encode(part, 8, seed, {"w": 0.01}) for seed, part in enumerate(parts)]
    total = sum(one.numbers["w"].astype(int) for one in coded)
    assert total[1] == 127 - 10, "beyond the largest number a value is cut off"
    assert abs(total[0] * 0.01 - 0.3) <= 0.02


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused_in_one_line(content: bytes) -> None:
    with pytest.raises(FederatedError) as caught:
        Contribution.from_bytes(content)
    assert "\n" not in str(caught.value)


def test_an_altered_contribution_is_refused() -> None:
    good = contribute(Counting(), PLAN, WEIGHTS, np.arange(1, 12, dtype=np.int32), 3, b"s").to_bytes()  # type: ignore[arg-type]
    for place in range(0, len(good), 37):
        bad = bytearray(good)
        bad[place] ^= 1
        with pytest.raises(FederatedError):
            Contribution.from_bytes(bytes(bad))


def test_what_is_sent_has_these_names_and_nothing_else() -> None:
    sent = contribute(Counting(), PLAN, WEIGHTS, np.arange(1, 12, dtype=np.int32), 3, b"s")  # type: ignore[arg-type]
    update, texts = from_bytes(sent.to_bytes())
    assert set(update.numbers) == set(PLAN.tensors)
    assert texts == {"plan": "t-0-0", "round": "0", "weight": "1"}
    assert Contribution.from_bytes(sent.to_bytes()).to_bytes() == sent.to_bytes()


def test_the_update_is_the_mean_gradient_at_the_rounds_weights() -> None:
    rows, since = np.arange(1, 12, dtype=np.int32), 3
    plan = dataclasses.replace(PLAN, bits=32)
    sent = contribute(Counting(), plan, WEIGHTS, rows, since, b"s")  # type: ignore[arg-type]
    assert targets_of(rows, since) == 8
    np.testing.assert_allclose(sent.update.tensors["b"], 1.0)
    sized = contribute(Counting(), dataclasses.replace(plan, weight="size"), WEIGHTS, rows, since, b"s")  # type: ignore[arg-type]
    assert (sent.weight, sized.weight) == (1, 8)
    capped = contribute(Counting(), dataclasses.replace(plan, weight="size", cap=5), WEIGHTS, rows, since, b"s")  # type: ignore[arg-type]
    assert capped.weight == 5


def test_local_steps_send_minus_the_change_and_start_at_the_rounds_weights() -> None:
    plan = dataclasses.replace(PLAN, bits=32, local_steps=2, local_rate=0.5)
    model = Counting()
    sent = contribute(model, plan, WEIGHTS, np.arange(1, 12, dtype=np.int32), 3, b"s")  # type: ignore[arg-type]
    np.testing.assert_array_equal(model.weights[0]["w"], 0)
    last = model.weights[-1]
    for name in PLAN.tensors:
        np.testing.assert_allclose(sent.update.tensors[name], -last[name])
        assert (last[name] < 0).all()


@pytest.mark.parametrize("local_steps", [0, 2])
def test_dropout_is_that_of_the_plan_and_follows_from_the_secret(local_steps: int) -> None:
    def kept(dropout: float, secret: bytes = b"s") -> list[Any]:
        model, plan = Counting(), dataclasses.replace(PLAN, dropout=dropout, local_steps=local_steps)
        contribute(model, plan, WEIGHTS, np.arange(1, 40, dtype=np.int32), 3, secret)  # type: ignore[arg-type]
        return model.kept

    assert {type(one) for one in kept(0.0)} == {type(None)}
    half = kept(0.75)
    assert len(half) > 2
    assert {one.shape for one in half} == {(2, 4, 3)}
    assert set(np.unique(half)) == {0.0, 4.0}
    assert np.mean(half) == pytest.approx(1.0, abs=0.5)
    assert len({one.tobytes() for one in half}) == len(half), "no step has the dropout of another"
    seed = int.from_bytes(hashlib.sha256(b"s" + PLAN.id.encode()).digest()[:8], "little")
    rounding = np.random.default_rng(seed).random(half[0].shape, np.float32) >= 0.75
    assert not np.array_equal(half[0] > 0, rounding), "dropout and rounding have numbers of their own"
    np.testing.assert_array_equal(half, kept(0.75))
    assert not np.array_equal(half, kept(0.75, b"t"))


def test_a_plan_that_drops_everything_is_refused() -> None:
    with pytest.raises(FederatedError, match=r"dropout must be .*below 1"):
        dataclasses.replace(PLAN, dropout=1.0)


def test_clipping_keeps_the_direction() -> None:
    update = {"w": np.full((2, 2), 3.0, np.float32), "b": np.full(4, 4.0, np.float32)}
    assert norm_of(update) == pytest.approx(10.0)
    half = clipped(update, 5.0)
    assert norm_of(half) == pytest.approx(5.0, rel=1e-6)
    np.testing.assert_allclose(half["w"], 1.5)
    np.testing.assert_array_equal(clipped(update, 20.0)["w"], update["w"])


@pytest.mark.parametrize(
    ("changes", "digest", "events", "words"),
    [
        ({}, "ab", 5, ""),
        ({}, "cd", 5, "of another model"),
        ({"tensors": {"w": [2, 3]}}, "ab", 5, "other tensors"),
        ({"devices": 9}, "ab", 5, "fewer than 10"),
        ({"expires": 100.0}, "ab", 5, "clock"),
        ({}, "ab", 4, "at least 5"),
    ],
)
def test_why_a_device_takes_no_part(changes: dict[str, Any], digest: str, events: int, words: str) -> None:
    said = refusal(dataclasses.replace(PLAN, **changes), Counting(), digest, events, now=200.0)  # type: ignore[arg-type]
    assert words in said
    assert bool(said) == bool(words)
    assert "\n" not in said


def test_a_plan_is_read_back_and_a_wrong_one_refused() -> None:
    assert Plan.from_bytes(PLAN.to_bytes()) == PLAN
    assert Plan.from_bytes(PLAN.to_bytes()).to_bytes() == PLAN.to_bytes()
    for content in (b"", b"[]", PLAN.to_bytes().replace(b'"bits": 8', b'"bits": 5'), b'{"id": "x"}'):
        with pytest.raises(FederatedError):
            Plan.from_bytes(content)
    with pytest.raises(FederatedError):
        dataclasses.replace(PLAN, clip=-1.0)


def test_a_device_takes_part_once_and_as_often_as_it_may(tmp_path: Path) -> None:
    taken = load_taken(tmp_path)
    assert taken.refusal(PLAN) == ""
    save_taken(tmp_path, taken.with_round(PLAN))
    again = load_taken(tmp_path)
    assert again.secret == taken.secret
    assert "for round 0 already" in again.refusal(PLAN)
    assert again.refusal(dataclasses.replace(PLAN, id="t-0-1")) == "", "a void round that is begun again"
    later = dataclasses.replace(PLAN, id="t-1-0", round=1)
    assert again.refusal(later) == ""
    assert "1 rounds" in again.refusal(dataclasses.replace(later, visits=1))
    assert (tmp_path / "federated.json").stat().st_mode & 0o077 == 0
    (tmp_path / "federated.json").write_text("{")
    with pytest.raises(FederatedError):
        load_taken(tmp_path)


def test_rounding_follows_from_the_plan_and_the_secret() -> None:
    rows = np.arange(1, 12, dtype=np.int32)

    class Uneven(Counting):
        def gradient(self, items: Any, targets: Any, negatives: Any = None, kept: Any = None) -> Any:
            return 0.0, 1, {"w": np.array([[9, 1.3, 2.7], [0.1, 0.2, 0.3]], np.float32), "b": np.ones(3, np.float32)}

    def made(secret: bytes, id: str = "t-0-0") -> bytes:
        return contribute(Uneven(), dataclasses.replace(PLAN, id=id), WEIGHTS, rows, 3, secret).to_bytes()  # type: ignore[arg-type]

    assert made(b"s") == made(b"s")
    assert len({made(b"s")[-9:], made(b"t")[-9:], made(b"u")[-9:], made(b"v")[-9:]}) > 1
    assert isinstance(Contribution.from_bytes(made(b"s")).update, Coded)
    assert Taken("00").rounds == {}
