# SPDX-License-Identifier: Apache-2.0
"""Whether a release may be taken: its signature under the pinned keys, the keys that it names, its number, its expiry.

Keys change by releases. One that a trusted key has signed may name the keys to be trusted from then on; a device that
was offline meanwhile asks for ``rotations/KEY.json`` of a key that it trusts, and so follows from key to key, each
step with a larger serial than the one before. There is no threshold: one trusted key is enough for each step.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from pocketrec.device.base.errors import FetchError
from pocketrec.device.delivery.pins import Pin
from pocketrec.device.delivery.release import LATEST, Release, rotation_of
from pocketrec.device.delivery.signing import is_signed_by, need_cryptography

if TYPE_CHECKING:
    from pocketrec.device.delivery.fetch import Fetcher

#: Changes of keys that are followed at one pull.
STEPS: Final = 64
_LIMIT: Final = 1 << 14  # bytes of a rotation


def trusted(release: Release, pin: Pin, base: str, fetcher: Fetcher) -> Pin:
    """The pin after a release that was seen: with the keys that it names, where a pinned key has signed it.

    Args:
        release: the content of latest.json.
        pin: what is trusted.
        base: address of the publisher's folder, with / at its end.
        fetcher: fetches rotations, where no pinned key has signed the release.

    Raises:
        FetchError: no pinned key has signed it, nor one that a chain of rotations leads to.
        ConfigError: a key is pinned, and the extra ``secure`` is not installed.
    """
    place = base + LATEST
    if pin.keys:
        need_cryptography()
        if not release.all_signatures():
            raise FetchError(f"{place} is not signed, and a key is pinned: ask the publisher to sign it")
        for _ in range(STEPS):
            if any(_signed(release, key) for key in pin.keys):
                break
            pin = _next(pin, base, fetcher)
        else:
            raise FetchError(f"{base} leads through more than {STEPS} changes of keys: ask the publisher")
        if release.keys and release.serial > pin.keyed:
            pin = _adopted(pin, release, place)
    return replace(pin, clock=max(pin.clock, release.published), expires=release.expires)


def check_serial(release: Release, known: int, pin: Pin, base: str) -> None:
    """Refuse a release that is older than one that was installed, or than one that has changed the keys.

    Raises:
        FetchError: it is.
    """
    least = max(known, pin.keyed if pin.keys else 0)
    if release.serial < least:
        raise FetchError(f"{base} offers release {release.serial}, and {least} was installed before: ask the "
                         "publisher, or pass --allow-older")  # fmt: skip


def is_expired(expires: int, clock: int) -> bool:
    """Whether a release has expired by this device's clock.

    Args:
        expires: Unix seconds; 0 = never.
        clock: when the newest release that was seen had been published. A device whose clock is before that has none
            that counts (it began at 1970, say), and takes the release.
    """
    now = time.time()
    return 0 < expires <= now and now >= clock


def _next(pin: Pin, base: str, fetcher: Fetcher) -> Pin:
    """The pin after the rotation that one of its keys has signed."""
    from pocketrec.device.delivery.fetch import AbsentError

    for key in pin.keys:
        place = base + rotation_of(key)
        try:
            content, _ = fetcher.small(place, _LIMIT)
        except AbsentError:
            continue
        rotation = Release.from_bytes(content or b"", place)
        if rotation.keys and rotation.serial > pin.keyed and _signed(rotation, key):
            return _adopted(pin, rotation, place)
    raise FetchError(f"{base}{LATEST} is not signed with the pinned key, or was altered, and no release leads from "
                     "that key to another: do not use it, and ask the publisher")  # fmt: skip


def _adopted(pin: Pin, release: Release, place: str) -> Pin:
    try:
        return pin.adopted(release.keys, release.serial)
    except ValueError as error:
        raise FetchError(f"{place} is not to be trusted ({error}): ask the publisher for the key that is used now, and "
                         "give it with --key") from None  # fmt: skip


def _signed(release: Release, key: str) -> bool:
    statement = release.statement()
    return any(is_signed_by(key, signature, statement) for signature in release.all_signatures())
