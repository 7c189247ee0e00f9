# SPDX-License-Identifier: Apache-2.0
"""Archives and native libraries, read byte by byte: how a .zip holds its entries, and how an ELF file is aligned.

A device with pages of 16 KB loads a library whose LOAD segments are aligned to 16 KB; where it is loaded from the APK
itself, uncompressed, its place in the archive has to be a multiple of that too.
"""

from __future__ import annotations

import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path

PAGE = 1 << 14


class FormatError(ValueError):
    """The bytes are of another format than their name says."""


@dataclass(frozen=True)
class Entry:
    """One entry of an archive."""

    name: str
    stored: bool
    """Whether it is not compressed."""
    place: int
    """Offset of its content in the archive, bytes."""
    size: int
    """Of its content, bytes."""
    packed: int
    """Of what the archive holds of it, bytes."""


def entries(archive: bytes) -> list[Entry]:
    """The entries of a .zip, from its central directory and each local header.

    Raises:
        FormatError: it is no such archive, or its two directories disagree.
    """
    end = archive.rfind(b"PK\x05\x06")
    if end < 0 or len(archive) < end + 22:
        raise FormatError("no end of a .zip: fetch or build it again")
    count, _, place = struct.unpack_from("<HII", archive, end + 10)
    found = []
    for _ in range(count):
        if archive[place : place + 4] != b"PK\x01\x02":
            raise FormatError("the directory of the .zip is cut short: fetch or build it again")
        (method,) = struct.unpack_from("<H", archive, place + 10)
        packed, size, name_size, extra, comment = struct.unpack_from("<IIHHH", archive, place + 20)
        (local,) = struct.unpack_from("<I", archive, place + 42)
        name = archive[place + 46 : place + 46 + name_size]
        local_name, local_extra = struct.unpack_from("<HH", archive, local + 26)
        if archive[local : local + 4] != b"PK\x03\x04" or archive[local + 30 : local + 30 + local_name] != name:
            raise FormatError(f"{name.decode()} is not where the .zip says: fetch or build it again")
        found.append(Entry(name.decode(), method == 0, local + 30 + local_name + local_extra, size, packed))
        place += 46 + name_size + extra + comment
    return found


def load_alignments(library: bytes) -> list[int]:
    """Alignment of each LOAD segment of an ELF file, bytes.

    Raises:
        FormatError: it is no little-endian ELF file, or has no such segment.
    """
    if library[:4] != b"\x7fELF" or library[5] != 1:
        raise FormatError("a library is no little-endian ELF file: fetch it again")
    wide = library[4] == 2
    (offset,) = struct.unpack_from("<Q" if wide else "<I", library, 0x20 if wide else 0x1C)
    size, count = struct.unpack_from("<HH", library, 0x36 if wide else 0x2A)
    found: list[int] = []
    for number in range(count):
        start = offset + number * size
        (kind,) = struct.unpack_from("<I", library, start)
        if kind == 1:
            found += struct.unpack_from("<Q" if wide else "<I", library, start + (0x30 if wide else 0x1C))
    if not found:
        raise FormatError("a library has no LOAD segment: fetch it again")
    return found


def libraries_of(path: Path) -> list[str]:
    """A line for each native library of an .aar or .apk: ABI, size, how it is held, how it is aligned."""
    content, lines = path.read_bytes(), []
    with zipfile.ZipFile(path) as opened:
        for entry in entries(content):
            if entry.name.endswith(".so"):
                library = opened.read(entry.name)
                least = min(load_alignments(library))
                held = f"stored at a multiple of {entry.place & -entry.place:#x}" if entry.stored else "compressed"
                good = least >= PAGE and (not entry.stored or entry.place % PAGE == 0)
                lines.append(f"{path.name}: {entry.name}: {entry.size:,} bytes, {held}, LOAD segments at {least:#x}: "
                             f"{'' if good else 'not '}for pages of 16 KB")  # fmt: skip
    return sorted(lines)
