"""What a publisher's folder looks like: the one small file that changes, and the names of those that never do.

    latest.json          which manifest is the latest, its number, and the signature; asked for at every pull
    releases/N.json      the same of release N, for the publisher
    files/SHA256         every file of every release, manifests too, under the hash of its content

A file under ``files/`` never changes, so caches may keep it for ever; a device that fetches release 7 while 8 is being
published misses nothing. This module opens neither files nor connections.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from pocketrec.device.base import documents
from pocketrec.device.base.digest import canonical
from pocketrec.device.base.errors import FetchError

LATEST: Final = "latest.json"
FILES: Final = "files"
RELEASES: Final = "releases"

_FORMAT: Final = 1
_DOMAIN: Final = b"pocketrec release\n"  # what is signed here is never taken for something else
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Release:
    """The content of latest.json."""

    serial: int
    """Number of the release, from 1; a device never goes back to a smaller one by itself."""
    manifest: str
    """SHA-256 of manifest.json."""
    size: int
    """Its size."""
    signature: str = ""
    """Ed25519 signature of `statement`, 128 hexadecimal digits; "" = not signed."""

    def statement(self) -> bytes:
        """What is signed; the manifest holds the hash of everything else."""
        facts = {"format": _FORMAT, "serial": self.serial, "manifest": self.manifest, "bytes": self.size}
        return _DOMAIN + canonical(facts)

    def to_bytes(self) -> bytes:
        """The file's content.

        One release has another length than the one before: a server whose ETag is made of a file's time, in seconds,
        and its length (nginx) would otherwise give two releases of one second the same.
        """
        table: dict[str, Any] = {
            "format": _FORMAT, "serial": self.serial, "manifest": self.manifest, "bytes": self.size,
            "signature": self.signature,
        }  # fmt: skip
        return documents.document(table) + b"\n" * (self.serial % 8)

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
                raise FetchError(f"{place} is of format {version!r} and this version of pocketrec reads {_FORMAT}: "
                                 "update pocketrec")  # fmt: skip
            release = cls(size=table.pop("bytes"), **table)
            for number in (release.serial, release.size):
                if type(number) is not int or not 1 <= number < 1 << 53:
                    raise ValueError("a number is out of range")
            if not _SHA256.fullmatch(release.manifest) or not re.fullmatch(r"([0-9a-f]{128})?", release.signature):
                raise ValueError("a hash or a signature is malformed")
        except (ValueError, TypeError, KeyError) as error:
            raise FetchError(f"{place} is no {LATEST} ({error}): {advice}") from None
        return release


def name_of(sha256: str) -> str:
    """Path of a content inside the publisher's folder."""
    return f"{FILES}/{sha256}"
