# SPDX-License-Identifier: Apache-2.0
"""What a publisher's folder looks like: the one small file that changes, and the names of those that never do.

    latest.json          which manifest is the latest, its number, and the signature; asked for at every pull
    releases/N.json      the same of release N, for the publisher
    rotations/KEY.json   the same of the last release that KEY has signed and that named other keys than before
    changelog.jsonl      one line for each release, for people
    files/SHA256         every file of every release, manifests too, under the hash of its content

A file under ``files/`` never changes, so caches may keep it for ever; a device that fetches release 7 while 8 is being
published misses nothing. What is signed are all fields of the file but the signatures, also fields that this version
does not know: these are reserved for later ones, and otherwise ignored. This module opens neither files nor
connections.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pocketrec.device.base import documents
from pocketrec.device.base.digest import canonical
from pocketrec.device.base.errors import FetchError
from pocketrec.device.contract.shards import shard_of

LATEST: Final = "latest.json"
FILES: Final = "files"
RELEASES: Final = "releases"
ROTATIONS: Final = "rotations"
CHANGELOG: Final = "changelog.jsonl"

#: Keys that a release may name.
KEYS: Final = 8

_FORMAT: Final = 1
_DOMAIN: Final = b"pocketrec release\n"  # what is signed here is never taken for something else
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_SIGNATURE: Final = re.compile(r"[0-9a-f]{128}")
_MOST: Final = 1 << 53  # numbers are below it


@dataclass(frozen=True)
class Staged:
    """A release that only devices of some candidate shards take yet; the others take, or stay with, the former one.

    Shards decide and not devices, so that who takes it tells the server no more than the shard that is fetched.
    """

    shards: int
    """Candidate shards of the release."""
    first: int
    """How many of them take it, those with the smallest numbers; 0 < first < shards."""
    serial: int
    """Of the former release: its number,"""
    manifest: str
    """SHA-256 of its manifest.json,"""
    size: int
    """and its size."""

    def table(self) -> dict[str, Any]:
        """As it stands in the file."""
        former = {"serial": self.serial, "manifest": self.manifest, "bytes": self.size}
        return {"shards": self.shards, "first": self.first, "former": former}


@dataclass(frozen=True)
class Release:
    """The content of latest.json. Fields with their default are not in the file, so that earlier versions read it."""

    serial: int
    """Number of the release, from 1; a device never goes back to a smaller one automatically."""
    manifest: str
    """SHA-256 of manifest.json."""
    size: int
    """Its size."""
    signature: str = ""
    """Ed25519 signature of `statement`, 128 hexadecimal digits; "" = not signed."""
    signatures: tuple[str, ...] = ()
    """Signatures by further keys."""
    published: int = 0
    """When it was published, Unix seconds; 0 = not told."""
    expires: int = 0
    """From when on devices do not install it, Unix seconds; 0 = never."""
    keys: tuple[str, ...] = ()
    """Public keys that are to be trusted from this release on, and no others; empty = as before."""
    staged: Staged | None = None
    """Where only some devices take it."""
    reserved: dict[str, Any] = field(default_factory=dict)
    """Fields that this version does not know."""

    def statement(self) -> bytes:
        """What is signed; the manifest holds the hash of everything else."""
        return _DOMAIN + canonical(self._facts())

    def all_signatures(self) -> tuple[str, ...]:
        """Every signature, in any order."""
        return tuple(signature for signature in (self.signature, *self.signatures) if signature)

    def to_bytes(self) -> bytes:
        """The file's content.

        One release has another length than the one before: a server whose ETag is made of a file's time, in seconds,
        and its length (nginx) would otherwise give two releases of one second the same.
        """
        table = {**self._facts(), "signature": self.signature}
        if self.signatures:
            table["signatures"] = list(self.signatures)
        return documents.document(table) + b"\n" * (self.serial % 8)

    def _facts(self) -> dict[str, Any]:
        told: dict[str, Any] = {
            "published": self.published, "expires": self.expires, "keys": list(self.keys),
            "staged": self.staged and self.staged.table(),
        }  # fmt: skip
        facts = {"format": _FORMAT, "serial": self.serial, "manifest": self.manifest, "bytes": self.size}
        return {**self.reserved, **facts, **{name: value for name, value in told.items() if value}}

    @classmethod
    def from_bytes(cls, content: bytes, place: str) -> Release:
        """Read and check the content of latest.json.

        Raises:
            FetchError: it is not one, or of another format.
        """
        advice = "name the address of a folder that `pocketrec publish` wrote"
        try:
            table = documents.parse_table(content)
            version = table.pop("format")
            if version != _FORMAT:
                raise FetchError(f"{place} is of format {str(version)[:40]!r} and this version of pocketrec reads "
                                 f"{_FORMAT}: update pocketrec")  # fmt: skip
            return _release(table)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            told = str(error)[:200]
            raise FetchError(f"{place} is no {LATEST} ({told!r}): {advice}") from None


def for_users(release: Release, users: Iterable[str]) -> Release:
    """What a device with these users takes: the release, or, where it is staged and not for them, the former one."""
    staged = release.staged
    if staged is None or any(shard_of(user, staged.shards) < staged.first for user in users):
        return release
    return replace(release, serial=staged.serial, manifest=staged.manifest, size=staged.size)


def name_of(sha256: str) -> str:
    """Path of a content inside the publisher's folder."""
    return f"{FILES}/{sha256}"


def rotation_of(key: str) -> str:
    """Path of the release that leads from a key to the next, inside the publisher's folder."""
    return f"{ROTATIONS}/{key}.json"


def _release(table: dict[str, Any]) -> Release:
    """Take the fields out of the table; what is left is reserved."""
    serial, manifest, size = (table.pop(name) for name in ("serial", "manifest", "bytes"))
    _check_version(serial, manifest, size)
    signature, more = table.pop("signature", ""), table.pop("signatures", [])
    if signature != "" and not _is(signature, _SIGNATURE):
        raise ValueError("a signature is malformed")
    if type(more) is not list or len(more) > KEYS or not all(_is(one, _SIGNATURE) for one in more):
        raise ValueError("a signature is malformed")
    keys = table.pop("keys", [])
    if type(keys) is not list or len(keys) > KEYS or not all(_is(key, _SHA256) for key in keys):
        raise ValueError("a key is malformed")
    published, expires = _number(table.pop("published", 0), 0), _number(table.pop("expires", 0), 0)
    found = table.pop("staged", None)
    staged = None
    if found is not None:
        former = found["former"]
        staged = Staged(found["shards"], found["first"], former["serial"], former["manifest"], former["bytes"])
        _check_version(staged.serial, staged.manifest, staged.size)
        if not 0 < _number(staged.first) < _number(staged.shards) or not staged.serial < serial:
            raise ValueError("a number is out of range")
    return Release(serial, manifest, size, signature, tuple(more), published, expires, tuple(keys), staged, table)


def _check_version(serial: object, manifest: object, size: object) -> None:
    _number(serial)
    _number(size)
    if not _is(manifest, _SHA256):
        raise ValueError("a hash is malformed")


def _number(value: Any, least: int = 1) -> int:
    if type(value) is not int or not least <= value < _MOST:
        raise ValueError("a number is out of range")
    return value


def _is(value: object, pattern: re.Pattern[str]) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None
