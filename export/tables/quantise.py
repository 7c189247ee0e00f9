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
