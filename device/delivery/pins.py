# SPDX-License-Identifier: Apache-2.0
"""pin.json: which of a publisher's keys a folder of versions trusts, and the largest release taken under each.

It lies beside current.json and is written before it, so that neither a lost nor a damaged current.json makes a device
take a release that is not signed, or an older one. This module knows nothing of releases and verifies no signature.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Final

from pocketrec.device.base import documents
from pocketrec.device.base.errors import BundleError, ConfigError
from pocketrec.device.base.fields import AtLeast, Matches, build_known
from pocketrec.device.base.files import sweep
from pocketrec.device.delivery.versions import VERSIONS, Current

PIN: Final = "pin.json"
#: In place of a key: none is pinned, and releases that are not signed are taken.
NONE: Final = "none"

_KEY: Final = re.compile(r"[0-9a-f]{64}")
_Key = Annotated[str, Matches("[0-9a-f]{64}", "64 hexadecimal digits")]
_Count = Annotated[int, AtLeast(0)]
_HOW: Final = f"pull with the address and --key KEY.pub, or --key {NONE} where releases are not signed"


@dataclass(frozen=True)
class Pin:
    """The content of pin.json."""

    named: Annotated[str, Matches("([0-9a-f]{64})?", "64 hexadecimal digits or nothing")] = ""
    """Key that a person gave, 64 hexadecimal digits; "" = none. Giving it again changes nothing."""
    keys: tuple[_Key, ...] = ()
    """Keys that are trusted now: `named`, or those that releases put in its place. Empty = none is pinned."""
    keyed: _Count = 0
    """Serial of the release that named `keys`; 0 = a person did."""
    revoked: tuple[_Key, ...] = ()
    """Keys that a release has left out, and that are never trusted again."""
    serials: dict[_Key, _Count] = field(default_factory=dict)
    """By key, the largest serial of a release that was installed while the key was trusted, from any address."""
    clock: _Count = 0
    """Latest time at which a release that was seen had been published, Unix seconds; 0 = none told."""
    expires: _Count = 0
    """When the release that was seen last expires, Unix seconds; 0 = never."""

    @property
    def serial(self) -> int:
        """Largest serial that was installed under the keys that are trusted now."""
        return max((self.serials.get(key, 0) for key in self.keys), default=0)

    def given(self, key: str) -> Pin:
        """The pin after a person gave a key, or `NONE`.

        Raises:
            ConfigError: a release has revoked the key.
        """
        if key == NONE:
            return replace(self, named="", keys=(), keyed=0, clock=0, expires=0) if self.keys else self
        if key in (self.named, *self.keys):
            return self
        if key in self.revoked:
            raise ConfigError(f"the key {key} was revoked by its publisher: give the one that is used now")
        return replace(self, named=key, keys=(key,), keyed=0, clock=0, expires=0)

    def adopted(self, keys: Iterable[str], serial: int) -> Pin:
        """The pin after a release that a trusted key has signed named these keys; what it leaves out is revoked.

        Raises:
            ValueError: no key is left, for all of these were revoked before.
        """
        left = tuple(key for key in dict.fromkeys(keys) if key not in self.revoked)
        if not left:
            raise ValueError("all keys that it names were revoked before")
        gone = tuple(key for key in self.keys if key not in left)
        known = {key: max(self.serial, self.serials.get(key, 0)) for key in left}
        return replace(self, keys=left, keyed=serial, revoked=(*self.revoked, *gone), serials={**self.serials, **known})

    def taken(self, serial: int) -> Pin:
        """The pin after a release of that serial was installed."""
        return replace(self, serials={**self.serials, **dict.fromkeys(self.keys, serial)})

    def write(self, folder: Path) -> None:
        """Replace pin.json in one step.

        Raises:
            StorageError: it cannot be written, and is as it was.
        """
        sweep(folder / PIN)
        documents.write(folder / PIN, asdict(self), mode=0o600)


def read_pin(folder: Path, current: Current | None) -> Pin:
    """The content of pin.json, with what current.json adds to it.

    Where there is no pin.json, as in folders of earlier versions, the key and serial of current.json are carried over.

    Args:
        folder: the folder of versions.
        current: content of its current.json; None where that is lost, damaged, or never was.

    Raises:
        BundleError: it is damaged or cannot be read, or it is lost and current.json with it: nobody can tell whether
            a key was pinned.
    """
    path = folder / PIN
    try:
        pin = _parsed(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        if current is None and (folder / VERSIONS).exists():
            raise BundleError(f"{folder} holds versions, and neither current.json nor {PIN} is there to tell which key "
                              f"is pinned: {_HOW}") from None  # fmt: skip
        pin = Pin()
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error.strerror}): {_HOW}") from None
    except ValueError as error:
        raise BundleError(f"{path} is damaged ({error}): {_HOW}") from None
    return pin if current is None else carried(pin, current)


def carried(pin: Pin, current: Current) -> Pin:
    """The pin with the key and serial that current.json has; an earlier version of pocketrec knows that file alone."""
    if not pin.keys and _KEY.fullmatch(current.key) and current.key not in pin.revoked:
        pin = replace(pin, named=current.key, keys=(current.key,), keyed=0)
    if current.key in pin.keys and current.serial > pin.serial:
        pin = pin.taken(current.serial)
    return pin


def _parsed(content: bytes) -> Pin:
    """Fields that this version does not know are left out."""
    pin = build_known(Pin, documents.parse_table(content))
    if bool(pin.named) != bool(pin.keys):
        raise ValueError("its keys do not fit")
    return pin
