# SPDX-License-Identifier: Apache-2.0
"""Shamir's secret sharing (Communications of the ACM 22, 1979): as many shares give the secret, fewer tell nothing.

Secrets are 32 bytes, shares are numbers below the prime 2^256 + 297, which has room for every such secret.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from typing import Final

#: The smallest prime above 2^256.
PRIME: Final = 2**256 + 297
#: Bytes of a share on the way.
SIZE: Final = 33
_SECRET: Final = 32


def share(secret: bytes, members: Iterable[int], threshold: int) -> dict[int, int]:
    """A share for each member: the value at its number of a random polynomial of degree threshold - 1.

    Args:
        secret: 32 bytes, the polynomial's value at 0.
        members: their numbers, from 1, each once.
        threshold: shares that give the secret, 1 to the number of members.
    """
    numbers = list(members)
    if len(secret) != _SECRET or not 1 <= threshold <= len(set(numbers)) == len(numbers) or min(numbers) < 1:
        raise ValueError("the secret has not 32 bytes, or the threshold or the numbers are out of range")
    coefficients = [int.from_bytes(secret, "big"), *(secrets.randbelow(PRIME) for _ in range(threshold - 1))]
    shares = {}
    for number in numbers:
        value = 0
        for coefficient in reversed(coefficients):  # Horner's rule
            value = (value * number + coefficient) % PRIME
        shares[number] = value
    return shares


def recover(shares: Mapping[int, int]) -> bytes:
    """The secret, 32 bytes, by Lagrange's formula at 0, from as many shares as its threshold, or more.

    Raises:
        ValueError: the shares belong to no secret of 32 bytes: one of them is wrong, or there are too few.
    """
    secret = 0
    for number, value in shares.items():
        above, below = 1, 1
        for other in shares:
            if other != number:
                above, below = above * other % PRIME, below * (other - number) % PRIME
        secret = (secret + value * above * pow(below, -1, PRIME)) % PRIME
    if secret >> (8 * _SECRET):
        raise ValueError("the shares do not belong together")
    return secret.to_bytes(_SECRET, "big")
