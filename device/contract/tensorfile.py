# SPDX-License-Identifier: Apache-2.0
"""Named arrays and a little text in one file: the safetensors layout, with a checksum.

The file is an unsigned 64-bit little-endian length, a JSON header of that many bytes, and the arrays' raw
little-endian bytes. The header maps each name to ``{"dtype", "shape", "data_offsets"}`` and ``__metadata__`` to a map
of strings, so that any safetensors reader opens it. ``__metadata__.sha256`` is the SHA-256 of the whole file with
these 64 digits taken as zeros. This module does not know what the arrays mean.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from pocketrec.device.base import documents
from pocketrec.device.base.digest import sha256_of
from pocketrec.device.base.files import write_atomic

_DTYPES: Final = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1", "BOOL": "|b1",
}  # fmt: skip
_NAMES: Final = {np.dtype(code): name for name, code in _DTYPES.items()}
_ZEROS: Final = "0" * 64
#: Bytes 8 to 34 of every tensor file with a checksum; 64 digits follow.
MARK: Final = b'{"__metadata__":{"sha256":"'


class TensorFileError(Exception):
    """The file is not a whole, unaltered tensor file. The message says in what way, and not what to do."""


@dataclass(frozen=True)
class TensorFile:
    """What a tensor file holds."""

    tensors: dict[str, np.ndarray[Any, Any]]
    """Arrays by name, in the order written; writable copies."""
    metadata: dict[str, str]
    """Text by name, without the checksum."""


def dump(tensors: Mapping[str, np.ndarray[Any, Any]], metadata: Mapping[str, str] | None = None) -> bytes:
    """The bytes of a tensor file. Equal content gives equal bytes.

    Args:
        tensors: arrays of bool, integer or float types, of any shape, scalars included.
        metadata: text to keep with them; the key ``sha256`` is taken.

    Raises:
        ValueError: an array is of another type, or a name is taken.
    """
    texts = dict(metadata or {})
    if "sha256" in texts or "__metadata__" in tensors:
        raise ValueError("sha256 (metadata) and __metadata__ (tensors) are names of the format itself")
    header: dict[str, Any] = {"__metadata__": {"sha256": _ZEROS, **texts}}
    parts: list[bytes] = []
    start = 0
    for name, tensor in tensors.items():
        little = tensor.dtype.newbyteorder("<")
        if little not in _NAMES:
            raise ValueError(f"{name} is of type {tensor.dtype}, which a tensor file cannot hold")
        data = np.asarray(tensor, dtype=little).tobytes()
        end = start + len(data)
        header[name] = {"dtype": _NAMES[little], "shape": list(tensor.shape), "data_offsets": [start, end]}
        parts.append(data)
        start = end
    text = documents.compact(header).encode()
    text += b" " * (-len(text) % 8)  # safetensors aligns the data to eight bytes
    whole = struct.pack("<Q", len(text)) + text + b"".join(parts)
    digest = sha256_of(whole).encode()
    at = 8 + len(MARK)
    return whole[:at] + digest + whole[at + 64 :]


def parse(content: bytes) -> TensorFile:
    """The inverse of `dump`.

    Raises:
        TensorFileError: the bytes are cut short, altered, or not a tensor file.
    """
    if len(content) < 8:
        raise TensorFileError("it is cut short")
    (length,) = struct.unpack_from("<Q", content)
    if length > len(content) - 8:
        raise TensorFileError("it is cut short or not a tensor file")
    at = 8 + len(MARK)
    if content[8:at] != MARK:
        raise TensorFileError("it is not a tensor file with a checksum")
    digest = hashlib.sha256(content[:at])
    digest.update(_ZEROS.encode())
    digest.update(memoryview(content)[at + 64 :])
    if digest.hexdigest().encode() != content[at : at + 64]:
        raise TensorFileError("its checksum does not match: it is cut short or altered")
    try:
        header: dict[str, Any] = documents.parse(content[8 : 8 + length])
        metadata: dict[str, str] = header.pop("__metadata__")
        del metadata["sha256"]
        tensors = {name: _tensor(memoryview(content)[8 + length :], entry) for name, entry in header.items()}
    except (ValueError, KeyError, TypeError) as error:
        raise TensorFileError(f"its header is wrong ({error})") from None
    return TensorFile(tensors, metadata)


def save(
    path: str | Path,
    tensors: Mapping[str, np.ndarray[Any, Any]],
    metadata: Mapping[str, str] | None = None,
    *,
    previous: str | Path | None = None,
    mode: int = 0o644,
) -> None:
    """Write a tensor file atomically; `previous` and `mode` as in `files.write_atomic`.

    Raises:
        StorageError: the file could not be written.
        ValueError: as `dump`.
    """
    write_atomic(path, dump(tensors, metadata), previous=previous, mode=mode)


def load(path: str | Path) -> TensorFile:
    """Read a tensor file and check it.

    Raises:
        OSError: the file is missing or unreadable.
        TensorFileError: the file is cut short, altered, or not a tensor file.
    """
    return parse(Path(path).read_bytes())


def _tensor(data: memoryview, entry: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    dtype, shape = np.dtype(_DTYPES[entry["dtype"]]), tuple(int(size) for size in entry["shape"])
    start, end = entry["data_offsets"]
    if not 0 <= start <= end <= len(data) or end - start != math.prod(shape) * dtype.itemsize:
        raise ValueError("offsets do not fit the shape")
    return np.frombuffer(data[start:end], dtype=dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=True)
