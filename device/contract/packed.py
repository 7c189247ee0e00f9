# SPDX-License-Identifier: Apache-2.0
"""The transport form of a model file: a skeleton, in which the weights are zero, and the weights, coded small.

A model file is memory-mapped and computed with in place, so it holds weights in the form that the runtime wants: some
twice (as they are and transposed), most in float32. None of that need travel. The cloud sends the skeleton, which is
the same for every model of one configuration and catalogue size, and the weights: integers with one scale for each
output (or row), where many are zero a bit mask and the others. The device fills the weights in, once, and has the very
bytes that the export gate checked; running it costs what it always did.

Both files are zlib streams, which ``java.util.zip.Inflater`` reads too. The weights' stream holds a tensor file
(`pocketrec.device.contract.tensorfile`). This module does not know what the weights mean.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pocketrec.device.base import documents
from pocketrec.device.base.array import Array
from pocketrec.device.base.errors import BundleError
from pocketrec.device.contract import tensorfile

_SPARSE: Final = 0.2  # share of zeros from which a mask and the other values take less than all values
_LEVEL: Final = 9  # of zlib
_LIMIT: Final = 1 << 31  # bytes; no model file is larger
_AGAIN: Final = "fetch or export the bundle again"


@dataclass(frozen=True)
class Quantised:
    """A weight tensor as integers and scales: value = number * scale."""

    numbers: Array
    """int8, the tensor's shape; or float16, values as they are (then without scales)."""
    scales: Array | None
    """float32 whose low 16 bits are zero, of a shape that broadcasts; None for float16 or float32 numbers."""

    @property
    def values(self) -> Array:
        """The tensor, float32."""
        if self.scales is None:
            return self.numbers.astype(np.float32)
        return self.numbers.astype(np.float32) * self.scales


@dataclass(frozen=True)
class Range:
    """Bytes of the model file that are weights."""

    offset: int
    """Where they lie in the file."""
    length: int
    """How many."""
    source: str
    """A name that `source` knows."""
    start: int
    """Where they begin in the source's bytes."""


def encode(tensors: Mapping[str, Quantised]) -> bytes:
    """The weights' file. Equal tensors give equal bytes; the inverse of `decode`."""
    kinds: dict[str, Any] = {}
    scales, masks, numbers = {}, {}, {}  # alike beside alike: zlib adapts to what comes
    for name, tensor in tensors.items():
        flat = tensor.numbers.reshape(-1)
        kinds[name] = {"shape": list(tensor.numbers.shape)}
        if tensor.scales is not None:
            kinds[name]["scales"] = list(tensor.scales.shape)
            scales[f"{name}:scales"] = (tensor.scales.astype("<f4").reshape(-1).view("<u4") >> 16).astype("<u2")
        if tensor.scales is not None and np.count_nonzero(flat) < (1 - _SPARSE) * flat.size:
            masks[f"{name}:mask"] = np.packbits(flat != 0)
            numbers[f"{name}:numbers"] = flat[flat != 0]
        else:
            numbers[f"{name}:numbers"] = flat
    whole = tensorfile.dump({**scales, **masks, **numbers}, {"tensors": documents.line(kinds)})
    return zlib.compress(whole, _LEVEL)


def decode(content: bytes, limit: int = _LIMIT) -> dict[str, Quantised]:
    """The weights by name; more than `limit` bytes of them are refused while they are unpacked.

    Raises:
        BundleError: the bytes are cut short, altered, or of another kind.
    """
    try:
        file = tensorfile.parse(_inflated(content, limit))
        kinds = documents.parse(file.metadata["tensors"])
        return {name: _decoded(file.tensors, name, kind) for name, kind in kinds.items()}
    except (zlib.error, tensorfile.TensorFileError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise BundleError(f"the weights cannot be unpacked ({error}): {_AGAIN}") from None


def _decoded(tensors: Mapping[str, Array], name: str, kind: Mapping[str, Any]) -> Quantised:
    numbers, shape, scales = tensors[f"{name}:numbers"], tuple(kind["shape"]), None
    if "scales" in kind:
        upper = tensors[f"{name}:scales"].astype("<u4") << 16
        scales = upper.astype("<u4").view("<f4").reshape(kind["scales"]).astype(np.float32)
    mask = tensors.get(f"{name}:mask")
    if mask is not None:
        size = math.prod(shape)
        if size > 8 * mask.size:
            raise ValueError(f"the mask of {name} is too short")
        dense = np.zeros(size, numbers.dtype)
        dense[np.unpackbits(mask, count=size).astype(bool)] = numbers
        numbers = dense
    if scales is not None and np.broadcast_shapes(shape, scales.shape) != shape:
        raise ValueError(f"the scales of {name} are more than its numbers")
    return Quantised(numbers.reshape(shape), scales)


def source(tensors: Mapping[str, Quantised], name: str) -> bytes:
    """Bytes that a model file may hold of a tensor; empty where there are none of this name.

    Args:
        tensors: by name.
        name: ``NAME``: float32 values; ``NAME'``: transposed, where it has two axes; ``NAME:numbers`` and
            ``NAME:scales``: as they are, where it has scales.
    """
    tensor = tensors.get(name.removesuffix("'").removesuffix(":numbers").removesuffix(":scales"))
    if tensor is None or (":" in name and tensor.scales is None) or ("'" in name and tensor.numbers.ndim != 2):
        return b""
    if name.endswith(":numbers"):
        return tensor.numbers.tobytes()
    if name.endswith(":scales") and tensor.scales is not None:
        return tensor.scales.astype("<f4").tobytes()
    values = tensor.values.astype("<f4")
    return (np.ascontiguousarray(values.T) if name.endswith("'") else values).tobytes()


def source_names(tensors: Mapping[str, Quantised]) -> list[str]:
    """Every name that `source` knows."""
    return [name + suffix for name in tensors for suffix in ("", "'", ":numbers", ":scales")]


def pack_skeleton(content: bytes, ranges: list[Range]) -> bytes:
    """The skeleton's file: `content` with the ranges zeroed, and what belongs there."""
    blank = bytearray(content)
    for part in ranges:
        blank[part.offset : part.offset + part.length] = bytes(part.length)
    places = [[part.offset, part.length, part.source, part.start] for part in ranges]
    header = documents.compact({"bytes": len(content), "ranges": places}).encode()
    words = np.frombuffer(bytes(blank) + bytes(-len(blank) % 4), "<u4")
    steps = np.diff(words, prepend=np.uint32(0)).astype("<u4")  # most offsets and indices are a step from the last
    planes = steps.view(np.uint8).reshape(-1, 4).T  # the high bytes, nearly all zero, together
    return zlib.compress(struct.pack("<I", len(header)) + header + planes.tobytes(), _LEVEL)


def fill(
    skeleton: bytes, weights: bytes, rows: tuple[str, int, Array, Array] | None = None, limit: int = _LIMIT
) -> bytes:
    """The model file.

    Args:
        skeleton: from `pack_skeleton`.
        weights: from `encode`.
        rows: rows of one tensor that others replace: its name, the first row, their numbers int8 [n, E] and scales
            float32 [n].
        limit: bytes that either may hold.

    Raises:
        BundleError: one of them is cut short, altered or larger than that, or they do not fit together.
    """
    content, ranges = unpack_skeleton(skeleton, limit)
    tensors = decode(weights, limit)
    if rows is not None:
        _replace(tensors, *rows)
    parts: dict[str, bytes] = {}
    for part in ranges:
        if part.source not in parts:
            parts[part.source] = source(tensors, part.source)
        data = parts[part.source][part.start : part.start + part.length]
        if len(data) != part.length or part.offset + part.length > len(content):
            raise BundleError(f"the weights do not fit the skeleton at {part.source}: {_AGAIN}")
        content[part.offset : part.offset + part.length] = data
    return bytes(content)


def _replace(tensors: Mapping[str, Quantised], name: str, first: int, numbers: Array, scales: Array) -> None:
    tensor = tensors.get(name)
    end = first + len(numbers)
    if tensor is None or tensor.scales is None or end > len(tensor.numbers):
        raise BundleError(f"{len(numbers)} more rows do not fit into {name}: {_AGAIN}")
    tensor.numbers[first:end] = numbers
    tensor.scales[first:end, 0] = scales


def unpack_skeleton(skeleton: bytes, limit: int = _LIMIT) -> tuple[bytearray, list[Range]]:
    """The model file without its weights, and where they belong.

    Raises:
        BundleError: the bytes are cut short or altered.
    """
    try:
        plain = _inflated(skeleton, limit)
        (length,) = struct.unpack_from("<I", plain)
        header = documents.parse(plain[4 : 4 + length])
        planes = np.frombuffer(plain, np.uint8, offset=4 + length).reshape(4, -1)
        steps = np.ascontiguousarray(planes.T).view("<u4").reshape(-1)
        words = np.cumsum(steps, dtype=np.uint32).astype("<u4")
        content = bytearray(words.tobytes()[: int(header["bytes"])])
        return content, [Range(*entry) for entry in header["ranges"]]
    except (zlib.error, struct.error, KeyError, ValueError, TypeError) as error:
        raise BundleError(f"the skeleton cannot be unpacked ({error}): {_AGAIN}") from None


def _inflated(content: bytes, limit: int) -> bytes:
    """The inverse of zlib.compress for up to `limit` bytes, so that a few kilobytes cannot fill the memory.

    Raises:
        zlib.error: cut short, altered, or more than that.
    """
    stream = zlib.decompressobj()
    plain = stream.decompress(content, limit)
    if not stream.eof:
        raise zlib.error(f"it is cut short, or holds more than {limit} bytes")
    return plain
