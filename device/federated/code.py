# SPDX-License-Identifier: Apache-2.0
"""An update as integers with one scale a tensor, and as bytes.

Rounding is stochastic, so that the mean of many devices' updates is not biased by it: value / scale is rounded up with
the probability of its fraction. This module does not know what the tensors mean, nor who sends them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from pocketrec.device.base import documents
from pocketrec.device.base.array import Array
from pocketrec.device.base.errors import FederatedError
from pocketrec.device.contract import tensorfile

#: Bits of a value: 32 = float32 as it is.
BITS: Final = (32, 8, 4)


@dataclass(frozen=True)
class Coded:
    """Tensors as whole numbers: value = number * scale."""

    bits: int
    """32, 8 or 4."""
    numbers: dict[str, Array]
    """By name, of the tensor's shape: int8 in -L..L with L = 2^(bits - 1) - 1, or float32 values with 32 bits."""
    scales: dict[str, float]
    """By name; 1.0 with 32 bits."""

    @property
    def tensors(self) -> dict[str, Array]:
        """The values, float32, by name."""
        return {name: numbers.astype(np.float32) * np.float32(self.scales[name])
                for name, numbers in self.numbers.items()}  # fmt: skip


def largest(bits: int) -> int:
    """The largest number L of so many bits, 8 or 4."""
    return int(2 ** (bits - 1)) - 1


def encode(
    tensors: Mapping[str, Array], bits: int, seed: int, scales: Mapping[str, float] | None = None
) -> Coded:
    """Round tensors to numbers of `bits` bits.

    Args:
        tensors: float32 by name, finite.
        bits: one of `BITS`.
        seed: of the rounding; equal seeds and tensors give equal numbers.
        scales: that all devices share, for sums of numbers (masks); values beyond L * scale are cut off. None = each
            tensor's own, max |value| / L.
    """
    if bits == 32:
        return Coded(bits, {name: np.asarray(value, np.float32) for name, value in tensors.items()},
                     dict.fromkeys(tensors, 1.0))  # fmt: skip
    most, generator = largest(bits), np.random.default_rng(seed)
    numbers: dict[str, Array] = {}
    used: dict[str, float] = {}
    for name, value in tensors.items():
        peak = float(np.abs(value).max(initial=0.0))
        scale = float(np.float32(peak / most)) if scales is None else scales[name]
        used[name] = scale = scale if scale > 0 else 1.0  # of zeros, or so small that float32 has no number for it
        steps = np.floor(value / np.float32(scale) + generator.random(value.shape, np.float32))
        numbers[name] = steps.clip(-most, most).astype(np.int8)
    return Coded(bits, numbers, used)


def to_bytes(coded: Coded, metadata: Mapping[str, str]) -> bytes:
    """A tensor file (`pocketrec.device.contract.tensorfile`): the numbers, two in a byte with 4 bits, and the scales.

    Args:
        coded: the tensors.
        metadata: what goes with them; the keys ``bits``, ``scales`` and ``shapes`` are taken.
    """
    numbers = {name: _halved(value) if coded.bits == 4 else value for name, value in coded.numbers.items()}
    shapes = {name: list(value.shape) for name, value in coded.numbers.items()}
    texts = {"bits": str(coded.bits), "scales": documents.compact(coded.scales)}
    if coded.bits == 4:
        texts["shapes"] = documents.compact(shapes)
    return tensorfile.dump(numbers, {**metadata, **texts})


def from_bytes(content: bytes) -> tuple[Coded, dict[str, str]]:
    """The inverse of `to_bytes`: the tensors, and what went with them.

    Raises:
        FederatedError: the bytes are cut short, altered or of another kind.
    """
    try:
        file = tensorfile.parse(content)
        texts = dict(file.metadata)
        bits, scales = int(texts.pop("bits")), documents.parse_table(texts.pop("scales"))
        if bits not in BITS or scales.keys() != file.tensors.keys():
            raise ValueError("its scales are not those of its tensors")
        shapes = documents.parse_table(texts.pop("shapes")) if bits == 4 else {}
        wanted = np.float32 if bits == 32 else np.uint8 if bits == 4 else np.int8
        numbers: dict[str, Array] = {}
        for name, value in file.tensors.items():
            if value.dtype != wanted or not 0 < float(scales[name]) < math.inf:
                raise ValueError(f"{name} is not of {bits} bits with a scale above 0")
            numbers[name] = _doubled(value, tuple(shapes[name])) if bits == 4 else value
        return Coded(bits, numbers, {name: float(scale) for name, scale in scales.items()}), texts
    except (tensorfile.TensorFileError, ValueError, KeyError, TypeError) as error:
        raise FederatedError(f"the update cannot be read ({error}): send it again") from None


def _halved(numbers: Array) -> Array:
    """Numbers in -8..7 as bytes, two in each, the first in the low half."""
    flat = numbers.reshape(-1)
    pairs = np.concatenate([flat, np.zeros(flat.size % 2, np.int8)]).reshape(-1, 2).astype(np.uint8) & 15
    packed: Array = (pairs[:, 0] | (pairs[:, 1] << 4)).astype(np.uint8)
    return packed


def _doubled(packed: Array, shape: tuple[int, ...]) -> Array:
    """The inverse of `_halved`."""
    size = math.prod(shape)
    if packed.size != -(-size // 2) or min(shape, default=0) < 0:
        raise ValueError("a tensor has not as many numbers as its shape")
    halves = np.stack([packed & 15, packed >> 4], axis=1).reshape(-1)[:size].astype(np.int8)
    return np.where(halves > 7, halves - 16, halves).astype(np.int8).reshape(shape)
