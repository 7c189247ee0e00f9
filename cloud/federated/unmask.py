# SPDX-License-Identifier: Apache-2.0
"""The server of masked rounds: it hands keys and shares on, and takes the masks off the sum of who is left.

Bonawitz et al. 2017 (CCS), section 5, figure 4, the server's side; `pocketrec.device.federated.mask` is a device. Each
`add_*` takes one member's message once; what does not fit is refused with a `FederatedError` that the caller counts,
and leaves nothing behind. This module knows no transport and does not know what is summed.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pocketrec.device.base.errors import FederatedError
from pocketrec.device.federated import mask_keys as keys
from pocketrec.device.federated import shamir
from pocketrec.device.federated.mask import mask_purpose, pair_mask, threshold_of
from pocketrec.device.federated.mask_keys import Advertised
from pocketrec.device.federated.plan import FEWEST


class Unmasking:
    """One round.

    Args:
        session: names the round: the plan's id.
        length: numbers of an update.
        word: bits of a masked number, 16 or 32.
    """

    def __init__(self, session: str, length: int, word: int) -> None:
        keys.need_masks()
        self._session, self._length, self._word, self._closed = session, length, word, False
        self.directory: dict[int, Advertised] = {}
        self._sealed: dict[int, dict[int, bytes]] = {}
        self._masked: dict[int, NDArray[np.unsignedinteger]] = {}
        self._consents: dict[int, str] = {}
        self._shares: dict[int, dict[int, int]] = {}

    directory: dict[int, Advertised]
    """Keys by member: round 0, sent to all of them."""

    def add_keys(self, advertised: Advertised) -> int:
        """Round 0: a member's keys; its number."""
        if self._sealed:
            raise FederatedError("the round has begun: wait for the next one")
        if any({advertised.seal, advertised.mask} & {other.seal, other.mask} for other in self.directory.values()):
            raise FederatedError("these keys are another member's already: make new ones")
        number = len(self.directory) + 1
        self.directory[number] = advertised
        return number

    def add_shares(self, number: int, sealed: Mapping[int, bytes]) -> None:
        """Round 1: what a member has sealed for the others."""
        self._first(number, self._sealed, not self._masked)
        if sealed.keys() != self.directory.keys() - {number}:
            raise FederatedError("the shares are not for all the other members: send one for each")
        self._sealed[number] = dict(sealed)

    def shares_for(self, number: int) -> dict[int, bytes]:
        """What the others have sealed for a member, by member; the caller waits for all of them, or its time."""
        return {other: sealed[number] for other, sealed in self._sealed.items() if other != number}

    def add_masked(self, number: int, numbers: NDArray[np.unsignedinteger]) -> None:
        """Round 2: a member's masked numbers."""
        self._first(number, self._masked, number in self._sealed and not self._closed)
        if numbers.shape != (self._length,) or numbers.dtype != np.dtype(f"<u{self._word // 8}"):
            raise FederatedError(f"the masked numbers are not {self._length} of {self._word} bits: send them again")
        self._masked[number] = numbers

    def close(self) -> list[int]:
        """Members whose numbers arrived, ascending: sent to them in round 3. Numbers are too late from now on."""
        self._closed = True
        return sorted(self._masked)

    def add_consent(self, number: int, signature: str) -> None:
        """Round 3: a survivor's signature of the survivors; "" where the fleet has no roster."""
        self._first(number, self._consents, self._closed and number in self._masked)
        self._consents[number] = signature

    @property
    def consents(self) -> dict[int, str]:
        """Signatures by member: sent to the survivors in round 4."""
        return dict(self._consents)

    def add_unmasking(self, number: int, shares: Mapping[int, int]) -> None:
        """Round 4: a survivor's shares of everybody's secrets."""
        self._first(number, self._shares, self._closed and number in self._masked)
        if shares.keys() != self._sealed.keys() or not all(0 <= value < shamir.PRIME for value in shares.values()):
            raise FederatedError("the shares are not those of all members: send one of each")
        self._shares[number] = dict(shares)

    def total(self) -> NDArray[np.int64]:
        """The sum of the survivors' numbers, [length].

        Raises:
            FederatedError: too few members are left, or a share was altered; the round is void.
        """
        threshold = threshold_of(len(self.directory))
        if len(self._masked) < FEWEST or len(self._shares) < threshold:
            raise FederatedError(f"{len(self._shares)} of {len(self.directory)} members answered to the end, and "
                                 f"{max(threshold, FEWEST)} are needed: repeat the round with others")  # fmt: skip
        total = np.zeros(self._length, f"<u{self._word // 8}")
        for numbers in self._masked.values():
            total += numbers
        for member in self._sealed:
            secret = self._secret(member, threshold)
            if member in self._masked:
                total -= keys.stream(secret, self._length, self._word)
            elif keys.public_of(secret) != self.directory[member].mask:
                raise FederatedError("shares of a member that dropped out were altered: repeat the round with others")
            else:
                total -= self._left_over(member, secret)
        return total.view(f"<i{self._word // 8}").astype(np.int64)

    def _left_over(self, dropped: int, secret: bytes) -> NDArray[np.unsignedinteger]:
        """What the survivors have added because of a member that dropped out after round 1."""
        total = np.zeros(self._length, f"<u{self._word // 8}")
        for number in self._masked:
            purpose = mask_purpose(self._session, number, dropped)
            seed = keys.agree(secret, self.directory[number].mask, purpose)
            total += pair_mask(seed, number, dropped, self._length, self._word)
        return total

    def _secret(self, member: int, threshold: int) -> bytes:
        chosen = sorted(self._shares)[:threshold]
        try:
            return shamir.recover({number: self._shares[number][member] for number in chosen})
        except ValueError:
            raise FederatedError("a member's shares were altered: repeat the round with others") from None

    def _first(self, number: int, taken: Mapping[int, object], now: bool) -> None:
        if number not in self.directory:
            raise FederatedError("this is no member of the round: wait for the next one")
        if number in taken:
            raise FederatedError("this member has answered already: nothing is taken twice")
        if not now:
            raise FederatedError("this answer comes too late, or too early: wait for the next round")
