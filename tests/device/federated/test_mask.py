# SPDX-License-Identifier: Apache-2.0
"""What a device refuses in a masked round, in one line each, and that what it sends tells nothing alone."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pocketrec.device.base.errors import ConfigError, FederatedError
from pocketrec.device.federated import shamir
from pocketrec.device.federated.mask import Member, threshold_of, word_of
from pocketrec.device.federated.mask_keys import Advertised, public_of

pytest.importorskip("cryptography", reason="the extra `secure` is not installed")


def _members(number: int, **options: Any) -> tuple[list[Member], dict[int, Advertised]]:
    members = [Member("round-1", **options) for _ in range(number)]
    return members, {place + 1: member.advertise() for place, member in enumerate(members)}


def _shared(number: int) -> tuple[list[Member], dict[int, dict[int, bytes]]]:
    """Members after round 1, and what each is handed in round 2."""
    members, directory = _members(number)
    sealed = {place + 1: member.share(place + 1, directory) for place, member in enumerate(members)}
    return members, {to: {by: sealed[by][to] for by in sealed if by != to} for to in sealed}


def _one_line(error: pytest.ExceptionInfo[Exception]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(("change", "told"), [
    (lambda d: {n: d[n] for n in range(1, 10)}, "the round has 9 members, and a sum of fewer than 10"),
    (lambda d: {**d, 1: d[2]}, "other keys for this device than it sent"),
    (lambda d: {n: d[n] for n in d if n != 1}, "other keys for this device than it sent"),
    (lambda d: {**d, 3: d[2]}, "a key twice"),
    (lambda d: {**d, 3: replace(d[3], mask=d[2].seal)}, "a key twice"),
    (lambda d: {**d, 0: Advertised("ab" * 32, "cd" * 32)}, "a number below 1"),
    (lambda d: {**d, 3: Advertised("zz", "cd" * 32)}, "is no key"),
    (lambda d: {**d, 3: Advertised("00" * 32, "cd" * 32)}, "is no key"),
])  # fmt: skip
def test_a_directory_that_is_not_to_be_trusted(change: Any, told: str) -> None:
    members, directory = _members(12)
    with pytest.raises(FederatedError, match=told) as error:
        members[0].share(1, change(directory))
    assert _one_line(error).endswith("take no part in this round")


@pytest.mark.parametrize(("sealed", "told"), [
    (lambda s: {n: s[n] for n in range(2, 10)}, r"9 of 12 members have sent shares, and 10 are needed"),
    (lambda s: {**s, 77: s[2]}, "names members that were not there"),
    (lambda s: {**s, 1: s[2]}, "own shares came back"),
])  # fmt: skip
def test_shares_that_are_not_to_be_trusted(sealed: Any, told: str) -> None:
    members, handed = _shared(12)
    with pytest.raises(FederatedError, match=told):
        members[0].masked(sealed(handed[1]), np.zeros(5, np.int8), 16)


@pytest.mark.parametrize(("survivors", "told"), [
    (range(1, 8), r"7 of 12 members are left, and 10 are needed"),
    ([1, 77, *range(3, 13)], "names members that were not there"),
    (range(2, 13), "does not count this device's numbers"),
])  # fmt: skip
def test_survivors_that_are_not_to_be_trusted(survivors: Any, told: str) -> None:
    members, handed = _shared(12)
    members[0].masked(handed[1], np.zeros(5, np.int8), 16)
    with pytest.raises(FederatedError, match=told):
        members[0].consent(list(survivors))


def test_nothing_is_answered_twice_or_out_of_order() -> None:
    members, handed = _shared(12)
    with pytest.raises(FederatedError, match="step 4 of the masks was asked for in place of step 2"):
        members[0].unmask({})
    members[0].masked(handed[1], np.zeros(5, np.int8), 16)
    with pytest.raises(FederatedError, match=r"step 2 of the masks .* or twice"):
        members[0].masked(handed[1], np.zeros(5, np.int8), 16)
    members[0].consent(range(1, 13))
    members[0].unmask({})
    with pytest.raises(FederatedError, match=r"step 4 .* or twice"):
        members[0].unmask({})


def test_altered_shares_are_noticed() -> None:
    members, handed = _shared(12)
    altered: Mapping[int, bytes] = {**handed[1], 2: bytes([handed[1][2][0] ^ 1]) + handed[1][2][1:]}
    members[0].masked(altered, np.zeros(5, np.int8), 16)
    members[0].consent(range(1, 13))
    with pytest.raises(FederatedError, match="were altered on their way"):
        members[0].unmask({})


def test_shares_of_another_round_open_nothing() -> None:
    """A server that replays a member's shares of one round in another gets no answer."""
    members, handed = _shared(12)
    others, foreign = _shared(12)
    members[0].masked({**handed[1], 2: foreign[1][2]}, np.zeros(5, np.int8), 16)
    members[0].consent(range(1, 13))
    with pytest.raises(FederatedError, match="were altered on their way"):
        members[0].unmask({})
    assert others[0].number == 1


def test_of_nobody_both_secrets_are_told() -> None:
    """All answers together give the mask key of who dropped out, and of a survivor its own seed and not that key."""
    members, handed = _shared(16)
    directory = members[0].directory
    for place, member in enumerate(members):
        member.masked(handed[place + 1], np.zeros(4, np.int8), 16)
    told = {}
    for place, member in enumerate(members[:12]):
        member.consent(range(1, 13))
        told[place + 1] = member.unmask({})
    for number, advertised in directory.items():
        secret = shamir.recover({member: shares[number] for member, shares in told.items()})
        assert (public_of(secret) == advertised.mask) == (number > 12)


def test_masked_numbers_look_alike_whatever_they_mask() -> None:
    members, handed = _shared(12)
    length = 20_000
    sent = members[0].masked(handed[1], np.full(length, 5, np.int8), 16)
    assert sent.dtype == np.uint16
    counts = np.bincount(sent >> 12, minlength=16)
    assert np.abs(counts - length / 16).max() < 6 * np.sqrt(length / 16)


def test_room_for_a_sum() -> None:
    assert word_of(258, 127) == 16
    assert word_of(259, 127) == 32
    assert word_of(4681, 7) == 16
    with pytest.raises(FederatedError, match="no room in 32 bits"):
        word_of(2**25, 127)
    assert [threshold_of(n) for n in (10, 11, 120)] == [6, 7, 72]


def test_without_the_package_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("cryptography"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"masks need the package cryptography: pip install 'pocketrec\[secure\]'"):
        Member("round-1")


def test_a_roster_takes_a_node_key() -> None:
    with pytest.raises(FederatedError, match="this device no node key: give it with --node-key"):
        Member("round-1", roster=["ab" * 32])
