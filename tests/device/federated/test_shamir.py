# SPDX-License-Identifier: Apache-2.0
"""Shares of a secret: any threshold of them give it, fewer do not, and the field is a field."""

from __future__ import annotations

import contextlib
import itertools
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketrec.device.federated import shamir


@given(st.binary(min_size=32, max_size=32), st.integers(1, 30), st.data())
def test_any_threshold_of_the_shares_give_the_secret(secret: bytes, members: int, data: st.DataObject) -> None:
    threshold = data.draw(st.integers(1, members))
    shares = shamir.share(secret, range(1, members + 1), threshold)
    chosen = data.draw(st.permutations(sorted(shares)))[:threshold]
    assert shamir.recover({number: shares[number] for number in chosen}) == secret
    assert shamir.recover(shares) == secret


def test_fewer_shares_fit_every_secret() -> None:
    """With one share less than the threshold, there is a polynomial through them for any other secret too."""
    shares = shamir.share(bytes(32), range(1, 6), 3)
    other = {0: 12345, **{number: shares[number] for number in (2, 4)}}  # a value at 0 as one more share
    third = 0
    for number, value in other.items():  # the polynomial through them, at 5
        above = below = 1
        for rest in other:
            if rest != number:
                above, below = above * (5 - rest) % shamir.PRIME, below * (number - rest) % shamir.PRIME
        third = (third + value * above * pow(below, -1, shamir.PRIME)) % shamir.PRIME
    assert shamir.recover({2: shares[2], 4: shares[4], 5: third}) == (12345).to_bytes(32, "big")


def test_a_wrong_share_gives_another_secret_or_none() -> None:
    secret = secrets.token_bytes(32)
    shares = shamir.share(secret, range(1, 6), 3)
    for number in (1, 2, 3):
        wrong = {**{n: shares[n] for n in (1, 2, 3)}, number: (shares[number] + 1) % shamir.PRIME}
        found = b""
        with contextlib.suppress(ValueError):  # some values above 2^256 are no secret
            found = shamir.recover(wrong)
        assert found != secret


@pytest.mark.parametrize(("size", "members", "threshold"), [(31, [1, 2], 2), (32, [1, 2], 3), (32, [1, 1], 1),
                                                            (32, [0, 1], 1), (32, [1, 2], 0)])  # fmt: skip
def test_what_cannot_be_shared(size: int, members: list[int], threshold: int) -> None:
    with pytest.raises(ValueError, match="out of range"):
        shamir.share(bytes(size), members, threshold)


def test_the_modulus_is_prime() -> None:
    """Miller and Rabin's test with 40 bases, which no smaller number above 2^256 passes."""
    assert [offset for offset in range(1, 300, 2) if _is_prime(2**256 + offset)] == [297]


def _is_prime(number: int) -> bool:
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in itertools.islice(itertools.count(2), 40):
        value = pow(base, odd, number)
        if value in (1, number - 1):
            continue
        if not any((value := value * value % number) == number - 1 for _ in range(twos - 1)):
            return False
    return True
