# SPDX-License-Identifier: Apache-2.0
"""The terms of a release besides its bundle: number, expiry, keys and share, and whether devices would take it.

This module reads and writes no file.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from pocketrec.device.base.errors import ConfigError
from pocketrec.device.delivery.release import KEYS, Release, Staged
from pocketrec.device.delivery.signing import is_signed_by

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

#: In place of a number: the clock's Unix seconds, for publishers that start from an empty folder.
TIME: Final = "time"
#: Groups of users for a share, of a bundle that has no candidate shards.
_GROUPS: Final = 4096
_DAY: Final = 86_400
_LAST: Final = 253_370_764_800  # the year 9999


@dataclass(frozen=True)
class Terms:
    """What a release says besides naming its bundle. Devices of versions before these terms refuse a release that has
    an expiry, keys or a share, and keep what they have."""

    serial: int | str | None = None
    """Its number; "time" = Unix seconds; None = one more than the latest in the folder."""
    expires: int = 0
    """From when on devices do not install it, Unix seconds; 0 = never."""
    keys: tuple[str, ...] = ()
    """Public keys to be trusted from this release on, and no others, 64 hexadecimal digits each; empty = as before."""
    share: float | None = None
    """Share of the candidate shards whose devices take it, above 0 and below 1; None = all."""
    note: str = ""
    """For the changelog."""
    plain: bool = False
    """Of a run, publish the plain bundle and not the packed one."""

    def __post_init__(self) -> None:
        if self.share is not None and not 0 < self.share < 1:
            raise ConfigError(f"a share lies between 0 and 1, not {self.share}: leave it out to publish for all")
        if self.expires and not time.time() < self.expires < _LAST:
            raise ConfigError("the release would have expired already, or not before the year 9999: name another time")
        if len(set(self.keys)) != len(self.keys) or len(self.keys) > KEYS:
            raise ConfigError(f"a release names up to {KEYS} different keys, not {len(self.keys)}: name fewer")


def check_serial(serial: int | str, latest: int) -> int:
    """The number of a release that is asked for.

    Args:
        serial: the number, or "time".
        latest: number of the latest release that is known; 0 = none is.

    Raises:
        ConfigError: it is not above the latest, or so large that later releases could not be numbered by the time.
    """
    now = int(time.time())
    number = now if serial == TIME else serial
    if type(number) is not int or number < 1:
        raise ConfigError(f"a serial is a whole number from 1, or {TIME}, not {serial!r}: give another")
    if number <= latest:
        raise ConfigError(f"serial {number} is not above {latest}, which is published: devices would refuse it, give a "
                          "larger one")  # fmt: skip
    if number > now + _DAY:
        raise ConfigError(f"serial {number} is more than a day ahead of the time ({now}): devices that took it would "
                          "refuse releases numbered by the time, give a smaller one")  # fmt: skip
    return number


def check_signers(release: Release, before: Release | None, signers: Sequence[str]) -> None:
    """Refuse what devices would: a release that none of the keys has signed that they trust.

    Args:
        release: the new one.
        before: the latest; None = unknown, and then nothing is trusted.
        signers: public keys that are to sign it.

    Raises:
        ConfigError: they would.
    """
    if release.keys and not signers:
        raise ConfigError("a release that names keys has to be signed: give --sign")
    if before is None:
        return
    if before.keys and not set(before.keys) & set(signers):
        raise ConfigError("devices trust other keys than would sign this: sign with the key of "
                          + " or ".join(before.keys))  # fmt: skip
    renamed = release.keys and not before.keys and before.signature
    if renamed and not any(is_signed_by(key, before.signature, before.statement()) for key in signers):
        raise ConfigError("the latest release was signed with another key, which devices have pinned: sign with that "
                          "one, too")  # fmt: skip


def staged(before: Release | None, shards: int, share: float) -> Staged:
    """The first `share` of the shards, and what the other devices take: the latest release that was for all.

    Args:
        before: the latest release.
        shards: candidate shards of the bundle; 0 = it has no candidate sets, and users are told apart by `_GROUPS`
            groups of their own.
        share: above 0, below 1.

    Raises:
        ConfigError: it does not exist, or the bundle has too few shards.
    """
    shards = shards or _GROUPS
    if before is None:
        raise ConfigError("there is no release that the other devices could take: publish one for all first")
    first = math.ceil(share * shards)
    if not 0 < first < shards:
        raise ConfigError(f"of {shards} candidate shards, a share of {share} is none or all: give another share, or "
                          "leave it out")  # fmt: skip
    former = before.staged
    if former is None:
        return Staged(shards, first, before.serial, before.manifest, before.size)
    return replace(former, shards=shards, first=first)


def signed(release: Release, keys: Sequence[Ed25519PrivateKey]) -> Release:
    """The release with a signature by each key; that of the first is the one that earlier versions look at."""
    statement = release.statement()
    first, *others = [key.sign(statement).hex() for key in keys] or [""]
    return replace(release, signature=first, signatures=tuple(others))
