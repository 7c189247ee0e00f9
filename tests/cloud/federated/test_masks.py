# SPDX-License-Identifier: Apache-2.0
"""Masked sums of real members and the real server: exact with 0, 1 and 40 % dropouts, wherever they drop out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from quadratic import Fleet, loss, points, training

from pocketrec.cloud.config.federate import FederateConfig
from pocketrec.cloud.federated.engine import Answer
from pocketrec.cloud.federated.masked import shared_scales
from pocketrec.cloud.federated.rounds import train
from pocketrec.cloud.federated.unmask import Unmasking
from pocketrec.device.base.errors import ConfigError, FederatedError
from pocketrec.device.contract.packed import decode
from pocketrec.device.federated.code import encode
from pocketrec.device.federated.contribution import Contribution, clipped
from pocketrec.device.federated.mask import Member, word_of
from pocketrec.device.federated.plan import Plan

pytest.importorskip("cryptography", reason="the extra `secure` is not installed")


@dataclass
class Round:
    """One round, played to the end: who drops out before which step, and what is altered on the way."""

    numbers: NDArray[np.int8]
    """(members, length)."""
    largest: int = 127
    before: dict[int, int] = field(default_factory=dict)
    """Member -> step (1 to 4) that it does not answer any more."""
    signed: bool = False
    roster_without: int = 0
    """A member whose node the roster lacks."""

    def play(self) -> tuple[NDArray[np.int64], list[int]]:
        count, length = self.numbers.shape
        word = word_of(count, self.largest)
        server = Unmasking("plan-7", length, word)
        members = {}
        for member in self._made(count):
            members[server.add_keys(member.advertise())] = member
        for number, member in self._there(members, 1):
            server.add_shares(number, member.share(number, server.directory))
        for number, member in self._there(members, 2):
            server.add_masked(number, member.masked(server.shares_for(number), self.numbers[number - 1], word))
        survivors = server.close()
        for number, member in self._there(members, 3):
            server.add_consent(number, member.consent(survivors))
        for number, member in self._there(members, 4):
            server.add_unmasking(number, member.unmask(server.consents))
        return server.total(), survivors

    def _made(self, count: int) -> list[Member]:
        if not self.signed:
            return [Member("plan-7") for _ in range(count)]
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        node_keys = [Ed25519PrivateKey.generate() for _ in range(count)]
        roster = [key.public_key().public_bytes_raw().hex() for number, key in enumerate(node_keys, 1)
                  if number != self.roster_without]  # fmt: skip
        return [Member("plan-7", key, roster) for key in node_keys]

    def _there(self, members: dict[int, Member], step: int) -> list[tuple[int, Member]]:
        return [(number, member) for number, member in members.items() if self.before.get(number, 9) > step]


def _numbers(members: int, length: int = 300, largest: int = 127) -> NDArray[np.int8]:
    return np.random.default_rng(members).integers(-largest, largest + 1, (members, length)).astype(np.int8)


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize(("dropped", "step"), [(0, 1), *((n, step) for n in (1, 8) for step in (1, 2, 3, 4))])
def test_the_sum_of_who_is_left_is_exact(dropped: int, step: int, signed: bool) -> None:
    numbers = _numbers(20)  # of which 0, 5 or 40 % leave
    leaving = {3 + 2 * place: step for place in range(dropped)}
    total, survivors = Round(numbers, before=leaving, signed=signed).play()
    kept = [number for number in range(1, 21) if leaving.get(number, 9) > 2]
    assert survivors == kept
    np.testing.assert_array_equal(total, numbers[np.array(kept) - 1].sum(axis=0, dtype=np.int64))


@pytest.mark.parametrize("largest", [127, 7])
def test_extremes_do_not_overflow(largest: int) -> None:
    numbers = np.where(np.arange(300) % 2, largest, -largest).astype(np.int8) * np.ones((20, 1), np.int8)
    total, _ = Round(numbers, largest).play()
    np.testing.assert_array_equal(total, 20 * numbers[0].astype(np.int64))


def test_a_large_round_takes_wider_words() -> None:
    members = 259
    assert word_of(members, 127) == 32
    assert word_of(members - 1, 127) == 16
    numbers = np.full((20, 50), 127, np.int8)
    np.testing.assert_array_equal(Round(numbers, largest=10**6).play()[0], np.full(50, 20 * 127))


def test_too_many_dropouts_void_the_round() -> None:
    leaving = dict.fromkeys(range(1, 10), 4)
    with pytest.raises(FederatedError, match=r"11 of 20 members answered to the end, and 12 are needed: repeat"):
        Round(_numbers(20), before=leaving).play()


def test_a_node_that_the_roster_lacks_ends_the_round() -> None:
    with pytest.raises(FederatedError, match="one that the roster lacks"):
        Round(_numbers(20), signed=True, roster_without=5).play()


def _opened() -> tuple[Unmasking, list[Member]]:
    server = Unmasking("plan-7", 4, 16)
    members = [Member("plan-7") for _ in range(12)]
    for member in members:
        server.add_keys(member.advertise())
    for number, member in enumerate(members, 1):
        server.add_shares(number, member.share(number, server.directory))
    return server, members


def test_messages_that_do_not_fit_are_refused_and_leave_nothing_behind() -> None:
    server, members = _opened()
    masked = [member.masked(server.shares_for(number), np.full(4, number, np.int8), 16)
              for number, member in enumerate(members, 1)]  # fmt: skip
    refused: list[tuple[Any, str]] = [
        (lambda: server.add_keys(server.directory[1]), "the round has begun"),
        (lambda: server.add_masked(99, masked[0]), "no member of the round"),
        (lambda: server.add_masked(1, masked[0][:3]), "not 4 of 16 bits"),
        (lambda: server.add_masked(1, masked[0].astype(np.uint32)), "not 4 of 16 bits"),
        (lambda: server.add_shares(1, {}), "answered already"),
        (lambda: server.add_consent(1, ""), "too late, or too early"),
        (lambda: server.add_unmasking(1, {}), "too late, or too early"),
    ]
    for act, told in refused:
        with pytest.raises(FederatedError, match=told):
            act()
    for number, numbers in enumerate(masked[:11], 1):
        server.add_masked(number, numbers)
    with pytest.raises(FederatedError, match="nothing is taken twice"):
        server.add_masked(1, masked[0])
    survivors = server.close()
    with pytest.raises(FederatedError, match="too late"):
        server.add_masked(12, masked[11])
    for number in survivors:
        server.add_consent(number, members[number - 1].consent(survivors))
        shares = members[number - 1].unmask(server.consents)
        with pytest.raises(FederatedError, match="not those of all members"):
            server.add_unmasking(number, {other: shares[other] for other in list(shares)[1:]})
        server.add_unmasking(number, shares)
    np.testing.assert_array_equal(server.total(), np.full(4, sum(range(1, 12))))


def test_an_altered_share_of_a_dropout_voids_the_round() -> None:
    server, members = _opened()
    for number in range(1, 12):
        server.add_masked(number, members[number - 1].masked(server.shares_for(number), np.zeros(4, np.int8), 16))
    survivors = server.close()
    for number in survivors:
        member = members[number - 1]
        server.add_consent(number, member.consent(survivors))
        shares = member.unmask(server.consents)
        server.add_unmasking(number, {**shares, 12: shares[12] ^ 1} if number == 2 else shares)
    with pytest.raises(FederatedError, match="altered: repeat the round with others"):
        server.total()


def test_the_server_alone_cannot_open_a_masked_vector() -> None:
    """What it holds of one member before unmasking, less every other member's vector, is still noise."""
    server, members = _opened()
    first = members[0].masked(server.shares_for(1), np.zeros(4, np.int8), 16)
    again, others = _opened()
    second = others[0].masked(again.shares_for(1), np.zeros(4, np.int8), 16)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("silent", [0, 16])  # of 40 devices: 0 and 40 %
def test_masked_rounds_train_to_the_bits_of_plain_sums_of_the_same_numbers(silent: int, tmp_path: Path) -> None:
    fleet = points(40)
    quiet = {f"d{2 * place:03}" for place in range(silent)}

    class Shared(Fleet):
        """Devices that round to the plan's shared scales."""

        def collect(self, plan: Plan, weights: bytes, devices: Sequence[str], timeout: float) -> Iterator[Answer]:
            at = {name: tensor.values for name, tensor in decode(weights).items()}
            for device in devices:
                gradient = clipped({name: at[name] - self.devices[device][name] for name in at}, plan.clip)
                scales = shared_scales(at, plan.clip, plan.bits)
                made = Contribution(plan.id, plan.round, 1, encode(gradient, plan.bits, len(device), scales))
                yield Answer(device, None if device in quiet else made.to_bytes())

    found = {}
    for secure in (True, False):
        task = training(fleet, rounds=3, share=1.0, secure=secure)
        (folder := tmp_path / str(secure)).mkdir()
        found[secure] = train(task, Shared(fleet), folder)
        assert [record["accepted"] for record in found[secure].records] == [40 - silent] * 3
    assert loss(found[True].state.weights, fleet) < loss(task.weights, fleet)
    for name, value in found[False].state.weights.items():
        np.testing.assert_allclose(found[True].state.weights[name], value, rtol=0, atol=1e-6)
    numbers = sum(value.size for value in task.weights.values())
    assert found[True].records[0]["bytes_up"] > 2 * numbers


def test_a_masked_round_with_too_few_devices_is_void(tmp_path: Path) -> None:
    fleet = points(9)
    with pytest.raises(FederatedError, match="wait for more devices"):
        train(training(fleet, share=1.0, secure=True), Fleet(fleet), tmp_path)


@pytest.mark.parametrize("options", [{"clip": 0.0}, {"bits": 32}, {"weight": "size"}, {"engine": "serve"}], ids=str)
def test_what_masks_cannot_do_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="secure"):
        FederateConfig(**{"secure": True, **options})
