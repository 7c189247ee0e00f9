# SPDX-License-Identifier: Apache-2.0
"""Packed files: which kind a file is, by its first bytes, and its bytes unpacked.

gzip, bz2, xz and a zip with one file in it are read as they lie, whatever the file is called. Kinds that are not text
log (zstd, 7z, Excel, SQLite, ...) are refused with what to do. This module does not look at rows.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from pocketrec.device.base.errors import DataError

#: What reading a damaged file raises.
DAMAGED: Final = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, MemoryError)

PLAIN, GZIP, BZ2, XZ, ZIP, PARQUET = "", "gzip", "bz2", "xz", "zip", "parquet"
_READ = {b"\x1f\x8b": GZIP, b"BZh": BZ2, b"\xfd7zXZ\x00": XZ, b"PK\x03\x04": ZIP, b"PK\x05\x06": ZIP, b"PAR1": PARQUET}
_OPENERS: Final[dict[str, Callable[[BinaryIO], Any]]] = {GZIP: gzip.open, BZ2: bz2.open, XZ: lzma.open}
_UNPACK = "unpack it, or compress it with gzip"
_REFUSED = {
    b"\x28\xb5\x2f\xfd": f"is compressed with zstd: {_UNPACK}",
    b"\x04\x22\x4d\x18": f"is compressed with lz4: {_UNPACK}",
    b"\xff\x06\x00\x00sNaPpY": f"is compressed with snappy: {_UNPACK}",
    b"\x1f\x9d": f"is compressed with compress: {_UNPACK}",
    b"\x89LZO": f"is compressed with lzop: {_UNPACK}",
    b"7z\xbc\xaf\x27\x1c": f"is a 7z archive: {_UNPACK}",
    b"Rar!": f"is a rar archive: {_UNPACK}",
    b"SQLite format 3\x00": "is an SQLite database: export the table as CSV",
    b"\x89HDF": "is HDF5: export it as CSV or Parquet",
    b"\x93NUMPY": "is a numpy array: export it as CSV or Parquet",
    b"\xd0\xcf\x11\xe0": "is an Excel or other Office file: export it as CSV",
    b"ORC": "is ORC: export it as CSV or Parquet",
    b"Obj\x01": "is Avro: export it as CSV or Parquet",
    b"ARROW1": "is an Arrow (Feather) file: export it as CSV or Parquet",
    b"\xff\xfe": "is UTF-16: convert it to UTF-8",
    b"\xfe\xff": "is UTF-16: convert it to UTF-8",
}
_TAR, _TAR_PLACE = b"ustar", 257
_LONGEST = max(map(len, _REFUSED))


def packing_of(path: Path) -> str:
    """How a file is packed: PLAIN, GZIP, BZ2, XZ, ZIP or PARQUET.

    Raises:
        DataError: the file cannot be read, or is of a kind that is not.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(_TAR_PLACE + len(_TAR))
    except OSError as error:
        raise cannot_read(path, error) from None
    refuse_kind(path, head)
    return next((kind for magic, kind in _READ.items() if head.startswith(magic)), PLAIN)


def refuse_kind(path: Path, head: bytes, inside: str = "") -> None:
    """Refuse what begins like a file of a kind that is not read; `inside`: it lies in a file packed so.

    Raises:
        DataError: it does.
    """
    within = f", unpacked from {inside}," if inside else ""
    for magic, words in _REFUSED.items():
        if head.startswith(magic):
            raise DataError(f"{path}{within} {words}")
    if head[_TAR_PLACE:].startswith(_TAR):
        raise DataError(f"{path}{within} is a tar archive: unpack it and name the log in it")
    packed = next((kind for magic, kind in _READ.items() if head.startswith(magic)), "") if inside else ""
    if packed:
        raise DataError(f"{path} is {packed} within {inside}: unpack it once")


@contextmanager
def unpacked(path: Path, packing: str) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """Open a file; its bytes as they lie (for the place), and unpacked.

    Raises:
        DataError: a zip that does not hold one readable file.
        OSError, EOFError, ...: one of `DAMAGED`, here or while reading.
    """
    with open(path, "rb") as raw:
        if packing == ZIP:
            with zipfile.ZipFile(raw) as archive, _only_file(path, archive) as file:
                yield raw, file
            return
        if packing == PLAIN:
            yield raw, raw
            return
        with cast(BinaryIO, _OPENERS[packing](raw)) as file:
            yield raw, file


def _only_file(path: Path, archive: zipfile.ZipFile) -> BinaryIO:
    named = [entry for entry in archive.infolist() if not entry.is_dir()]
    files = [entry for entry in named if not entry.filename.startswith("__MACOSX/")]  # what a Mac adds
    if any(entry.filename == "[Content_Types].xml" for entry in files):
        raise DataError(f"{path} is an Excel or other Office file: export it as CSV")
    if len(files) != 1:
        raise DataError(f"{path} is a zip of {len(files)} files: unpack it, and name the log in it with data.path")
    if files[0].flag_bits & 1:
        raise DataError(f"{path} is a zip with a password: unpack it, or compress it with gzip")
    try:
        return cast(BinaryIO, archive.open(files[0]))
    except NotImplementedError:
        raise DataError(f"{path} is a zip of a kind that Python cannot unpack: {_UNPACK}") from None


def cannot_read(path: Path, error: BaseException) -> DataError:
    """The error for a file that is damaged or cannot be opened."""
    return DataError(f"cannot read {path}: {reason(error)}: repair or replace the file")


def reason(error: BaseException) -> str:
    """One line that says what an error was about."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split()).rstrip(".")
