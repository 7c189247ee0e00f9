# SPDX-License-Identifier: Apache-2.0
"""Weights as integers with one scale for each output, and where they lie in a model file.

What is quantised here is what the device computes with: the graph is built from the dequantised values, so the gate
checks them, and every figure is measured on them. Zeros (of pruning) stay exactly zero.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pocketrec.device.base.array import Array
from pocketrec.device.base.errors import ExportError
from pocketrec.device.contract.packed import Quantised, Range, encode, fill, pack_skeleton, source, source_names

_SHORTEST = 16  # bytes; what is shorter cannot be distinguished from anything else, and stays in the skeleton
_BLOCK = 8192  # rows that are rounded at a time
_DAMPING = 0.1  # share of the mean second moment that every direction gets, so that none may take all of the error


def quantise(values: Array, bits: int, axis: int) -> Quantised:
    """Symmetric integers of `bits` bits, -L..L with L = 2^(bits - 1) - 1, and one scale along `axis`.

    Args:
        values: float32, two axes.
        bits: 2 to 8.
        axis: the axis along which the largest magnitude is taken: 0 = a scale for each column, 1 = for each row.
    """
    most = 2 ** (bits - 1) - 1
    peak = np.abs(values).max(axis=axis, keepdims=True).astype(np.float32)
    scales = _upward(np.where(peak > 0, peak / most, 1.0).astype(np.float32))
    return Quantised(np.round(values / scales).astype(np.int8), scales)


def quantise_rows(values: Array, bits: int) -> Quantised:
    """Rows as `quantise` makes them along axis 1, but rounded for their inner products with users.

    An entry rounded to the nearest number leaves errors in all directions alike. Users lie where rows lie, for they are
    made of them; so here what rounding an entry left over is taken out of the entries that are not yet rounded, as far
    as the second moment of the rows says that they point the same way (the order and the factors of GPTQ, Frantar et
    al. 2023, with the rows in the place of the inputs). Most of the error ends in directions that few rows have.

    Args:
        values: float32 (n, E).
        bits: 2 to 8.

    Returns:
        Numbers within the same bounds, and the same scales; rows of zeros stay zeros.
    """
    plain = quantise(values, bits, axis=1)
    assert plain.scales is not None
    blocks = [slice(begin, begin + _BLOCK) for begin in range(0, len(values), _BLOCK)]
    size = values.shape[1]
    moment = np.zeros((size, size))
    for part in blocks:
        rows = values[part].astype(np.float64)
        moment += rows.T @ rows
    moment += max(_DAMPING * np.trace(moment) / size, 1e-12) * np.eye(size)
    order = np.argsort(-np.diag(moment), kind="stable")
    factors = np.linalg.cholesky(np.linalg.inv(moment[np.ix_(order, order)])).T.astype(np.float32)  # upper
    most, numbers = 2 ** (bits - 1) - 1, np.empty(values.shape, np.int8)
    for part in blocks:
        left = np.ascontiguousarray((values[part] / plain.scales[part])[:, order].T)  # (E, n)
        for entry, factor in enumerate(factors):
            rounded = np.clip(np.round(left[entry]), -most, most)
            left[entry + 1 :] -= factor[entry + 1 :, None] * ((left[entry] - rounded) / factor[entry])
            numbers[part, order[entry]] = rounded
    return Quantised(numbers, plain.scales)


def quantise_weights(weights: Mapping[str, Array], bits: int) -> dict[str, Quantised]:
    """Tensors of layers: kernels with a scale for each output, vectors and biases as float16; with 32 bits all as they
    are."""
    found = {}
    for name, values in weights.items():
        if bits == 32:
            found[name] = Quantised(values.astype(np.float32), None)
        elif values.ndim < 2 or name.endswith("bias"):
            found[name] = Quantised(values.astype(np.float16), None)
        else:
            found[name] = quantise(values, bits, axis=0)
    return found


def pack(content: bytes, tensors: Mapping[str, Quantised]) -> tuple[bytes, bytes]:
    """Skeleton and weights of a model file, from which `pocketrec.device.contract.packed.fill` makes it again.

    Args:
        content: the model file.
        tensors: every weight tensor that it was built from, by name.

    Raises:
        ExportError: the file does not come back bit by bit.
    """
    known = {name: data for name in source_names(tensors) if (data := source(tensors, name))}
    skeleton, weights = pack_skeleton(content, find_ranges(content, known)), encode(tensors)
    if fill(skeleton, weights) != content:
        raise ExportError("the packed model does not unpack to the file that was checked: report this as a bug")
    return skeleton, weights


def find_ranges(content: bytes, known: Mapping[str, bytes]) -> list[Range]:
    """Where a model file holds (a part of) one of the known sources: its constants are looked up by their bytes."""
    from tensorflow.lite.python import schema_py_generated as schema  # the rest of this module needs no TensorFlow

    model = schema.Model.GetRootAsModel(content, 0)
    found = []
    for index in range(model.BuffersLength()):
        buffer = model.Buffers(index)
        length = buffer.DataLength()
        if length < _SHORTEST:
            continue
        offset = buffer._tab.Vector(buffer._tab.Offset(4))  # of the field `data`
        data = content[offset : offset + length]
        if not any(data):
            continue
        # The whole of a source first: a part of another might be equal by chance.
        for name, values in sorted(known.items(), key=lambda entry: len(entry[1]) != length):
            start = values.find(data)
            if start >= 0:
                found.append(Range(offset, length, name, start))
                break
    return found


def _upward(scales: Array) -> Array:
    """The least float32 not below each of these whose low 16 bits are zero: two bytes tell it."""
    upper = (scales.astype("<f4").view("<u4") + np.uint32(0xFFFF)) & np.uint32(0xFFFF0000)
    return upper.astype("<u4").view("<f4").astype(np.float32)
