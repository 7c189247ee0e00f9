# SPDX-License-Identifier: Apache-2.0
"""Masks over the whole numbers of an update, so that a server learns the sum of many devices and nothing of one.

The protocol is that of Bonawitz et al. 2017, "Practical secure aggregation for privacy-preserving machine learning"
(CCS), section 5, figure 4, with its numbers of rounds: 0 advertise keys, 1 share keys, 2 masked input, 3 consistency
check, 4 unmasking. Sums are modulo 2^16 or 2^32, so they are exact, whoever drops out. A `Member` is one device in one
round of training; it answers each step once, in this order, and an order or a directory that could isolate a device
ends in a `FederatedError`. `pocketrec.cloud.federated.unmask` is the server.

With a roster (the nodes' public keys, which a server cannot choose) keys and the set of survivors are signed, as the
paper has it against an active server. Without one the server is trusted to hand on the keys that it was given (honest
but curious): docs/federated-privacy.md says what that means. This module does not know what is summed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from pocketrec.device.base.array import Array
from pocketrec.device.base.errors import FederatedError
from pocketrec.device.federated import mask_keys as keys
from pocketrec.device.federated import shamir
from pocketrec.device.federated.mask_keys import Advertised
from pocketrec.device.federated.plan import FEWEST

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_LEAVE: Final = "take no part in this round"


def threshold_of(members: int) -> int:
    """Members that must remain to the end, 60 %: more than half, so that a server cannot get two different answers."""
    return max(-(-members * 3 // 5), members // 2 + 1)


def word_of(members: int, largest: int) -> int:
    """Bits of a masked number, 16 or 32, in which a sum of so many numbers of -largest..largest has room.

    Raises:
        FederatedError: it has no room in 32 either.
    """
    for word in (16, 32):
        if members * largest < 2 ** (word - 1):
            return word
    raise FederatedError(f"a sum of {members} updates has no room in 32 bits: choose fewer devices a round")


def pair_mask(seed: bytes, own: int, other: int, length: int, word: int) -> Array:
    """What member `own` adds because of `other`: the stream of their seed, negated for the one of the two with the
    smaller number, so that both add up to 0 (section 4)."""
    found = keys.stream(seed, length, word)
    return found if own > other else (0 - found).astype(found.dtype)


def mask_purpose(session: str, own: int, other: int) -> str:
    """What a pair's seed is derived for; alike for both."""
    low, high = sorted((own, other))
    return f"mask {session} {low} {high}"


class Member:
    """A device in one round.

    Args:
        session: names the round: the plan's id. Keys, shares and signatures hold for it alone.
        key: the node's private key, where the fleet has a roster.
        roster: public keys of all nodes, hexadecimal, from a source that the server cannot write; None = none.

    Raises:
        ConfigError: the extra ``secure`` is not installed.
    """

    def __init__(
        self, session: str, key: Ed25519PrivateKey | None = None, roster: Collection[str] | None = None
    ) -> None:
        keys.need_masks()
        if roster is not None and key is None:
            raise FederatedError("the fleet has a roster, and this device no node key: give it with --node-key")
        self._session, self._key, self._roster = session, key, roster
        self._seal, self._mask, self._own = keys.new_secret(), keys.new_secret(), keys.new_secret()
        self.directory = {}
        self._sealed: dict[int, bytes] = {}
        self._step = 0

    def advertise(self) -> Advertised:
        """Round 0: the public keys of this device."""
        self._next(0)
        seal, mask = keys.public_of(self._seal), keys.public_of(self._mask)
        if self._key is None:
            return Advertised(seal, mask)
        node = self._key.public_key().public_bytes_raw().hex()
        return Advertised(seal, mask, node, keys.sign(self._key, _advert(self._session, seal, mask)))

    def share(self, number: int, directory: Mapping[int, Advertised]) -> dict[int, bytes]:
        """Round 1: for every other member, sealed shares of this device's mask key and of its own seed.

        Args:
            number: of this device in the directory.
            directory: every member's keys.

        Raises:
            FederatedError: the directory is not to be trusted.
        """
        self._next(1)
        self._check(number, directory)
        self.number, self.directory, self._threshold = number, dict(directory), threshold_of(len(directory))
        members = sorted(directory)
        masks = shamir.share(self._mask, members, self._threshold)
        seeds = shamir.share(self._own, members, self._threshold)
        self._kept = masks[number], seeds[number]
        return {other: keys.seal(self._way(number, other), _pack(masks[other], seeds[other]))
                for other in members if other != number}  # fmt: skip

    def masked(self, sealed: Mapping[int, bytes], numbers: Array, word: int) -> Array:
        """Round 2: the numbers, masked.

        Args:
            sealed: what the other members sealed for this device, by member; who is missing has dropped out.
            numbers: [n] whole numbers.
            word: bits of a masked number, see `word_of`.

        Returns:
            [n] uint16 or uint32.

        Raises:
            FederatedError: too few members are left, or one is unknown.
        """
        self._next(2)
        self._enough({*sealed, self.number}, self.directory, "have sent shares")
        if self.number in sealed:
            raise FederatedError(f"this device's own shares came back to it: {_LEAVE}")
        self._sealed = dict(sealed)
        kind = np.dtype(f"<u{word // 8}")
        total = numbers.astype(np.int64).astype(kind)
        total += keys.stream(self._own, numbers.size, word)
        for other in sealed:
            seed = keys.agree(
                self._mask, self.directory[other].mask, mask_purpose(self._session, self.number, other)
            )
            total += pair_mask(seed, self.number, other, numbers.size, word)
        return total

    def consent(self, survivors: Collection[int]) -> str:
        """Round 3: this node's signature of the set of members whose numbers arrived; "" without a roster.

        Raises:
            FederatedError: too few are left, or this device is not among them.
        """
        self._next(3)
        self._enough(survivors, {*self._sealed, self.number}, "are left")
        if self.number not in survivors:
            raise FederatedError(f"the server does not count this device's numbers: {_LEAVE}")
        self._survivors = sorted(survivors)
        return "" if self._key is None else keys.sign(self._key, _consent(self._session, self._survivors))

    def unmask(self, consents: Mapping[int, str]) -> dict[int, int]:
        """Round 4: of each survivor the share of its own seed, of everybody else that of its mask key; never both.

        Args:
            consents: what the survivors have answered in round 3, by member; not looked at without a roster.

        Raises:
            FederatedError: fewer survivors than the threshold have signed the same set, or a share was altered.
        """
        self._next(4)
        if self._roster is not None:
            statement = _consent(self._session, self._survivors)
            signed = [member for member, signature in consents.items() if member in self._survivors
                      and keys.is_signed(self.directory[member].node, signature, statement)]  # fmt: skip
            self._enough(signed, self._survivors, "have signed who is left")
        left = set(self._survivors)
        shares = {self.number: self._kept[1]}
        for other, content in self._sealed.items():
            mask, own = _unpack(keys.unseal(self._way(other, self.number), content))
            shares[other] = own if other in left else mask
        return shares

    number: int
    """Of this device in the directory; from round 1 on."""
    directory: dict[int, Advertised]
    """Keys of all members; from round 1 on."""

    def _next(self, step: int) -> None:
        if self._step != step:
            raise FederatedError(f"step {step} of the masks was asked for in place of step {self._step}, or twice: "
                                 f"{_LEAVE}")  # fmt: skip
        self._step += 1

    def _way(self, sender: int, receiver: int) -> bytes:
        other = receiver if sender == self.number else sender
        purpose = f"shares {self._session} {sender} {receiver}"
        return keys.agree(self._seal, self.directory[other].seal, purpose)

    def _check(self, number: int, directory: Mapping[int, Advertised]) -> None:
        own = directory.get(number)
        if own is None or (own.seal, own.mask) != (keys.public_of(self._seal), keys.public_of(self._mask)):
            raise FederatedError(f"the round's directory has other keys for this device than it sent: {_LEAVE}")
        if len(directory) < FEWEST:
            raise FederatedError(f"the round has {len(directory)} members, and a sum of fewer than {FEWEST} tells too "
                                 f"much about each: {_LEAVE}")  # fmt: skip
        public = [key for member in directory.values() for key in (member.seal, member.mask)]
        if len(set(public)) != len(public) or min(directory) < 1:
            raise FederatedError(f"the round's directory has a key twice, or a number below 1: {_LEAVE}")
        if self._roster is None:
            return
        nodes = [member.node for member in directory.values()]
        if len(set(nodes)) != len(nodes) or not set(nodes) <= set(self._roster):
            raise FederatedError(f"the round's directory has a node twice, or one that the roster lacks: {_LEAVE}")
        if not all(keys.is_signed(member.node, member.signature, _advert(self._session, member.seal, member.mask))
                   for member in directory.values()):  # fmt: skip
            raise FederatedError(f"the round's directory has a key that its node has not signed: {_LEAVE}")

    def _enough(self, members: Collection[int], among: Collection[int], what: str) -> None:
        if not set(members) <= set(among):
            raise FederatedError(f"the server names members that were not there before: {_LEAVE}")
        least = max(self._threshold, FEWEST)
        if len(set(members)) < least:
            raise FederatedError(f"{len(set(members))} of {len(self.directory)} members {what}, and {least} are "
                                 f"needed: {_LEAVE}")  # fmt: skip


def _advert(session: str, seal: str, mask: str) -> str:
    return f"keys {session} {seal} {mask}"


def _consent(session: str, survivors: Collection[int]) -> str:
    return f"survivors {session} {' '.join(map(str, sorted(survivors)))}"


def _pack(mask: int, own: int) -> bytes:
    return mask.to_bytes(shamir.SIZE, "big") + own.to_bytes(shamir.SIZE, "big")


def _unpack(content: bytes) -> tuple[int, int]:
    return int.from_bytes(content[: shamir.SIZE], "big"), int.from_bytes(content[shamir.SIZE :], "big")
