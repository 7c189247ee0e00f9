# SPDX-License-Identifier: Apache-2.0
"""index/lists.bin: the item rows of a catalogue in lists of rows that lie near each other, and how the file is read.

Little-endian, one part after the other: ``PRLI``, then uint32 version, N, E, L, and 1 where the file has a copy of the
rows; centroids float16 [L, E]; offsets uint32 [L + 1]; item rows uint32 [N] in list order; the largest norm of each
list float16 [L]; and with a copy, from the next multiple of 4 on, scales float32 [N] and numbers int8 [N, E] in list
order. Without a copy the rows of a list are gathered from model.tflite. This module knows nothing about searching.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from pocketrec.device.base.array import Array
from pocketrec.device.base.errors import BundleError

if TYPE_CHECKING:
    import mmap

#: Its path inside a bundle.
LISTS_FILE: Final = "index/lists.bin"
_HEAD: Final = struct.Struct("<4s5I")
_MAGIC, _VERSION = b"PRLI", 1
_LARGEST: Final = 1e18  # a larger scale is damage, and scores would not be finite


@dataclass(frozen=True)
class Lists:
    """The content of the file."""

    centroids: Array
    """float16 [L, E], of each list."""
    offsets: Array
    """uint32 [L + 1]: list l has places offsets[l] to offsets[l + 1] - 1."""
    rows: Array
    """uint32 [N], item rows 1..N in list order, each once."""
    bounds: Array
    """float16 [L], a number not below any norm in the list."""
    scales: Array | None = None
    """float32 [N] in list order; None = there is no copy."""
    numbers: Array | None = None
    """int8 [N, E] in list order; None = there is no copy."""

    def dump(self) -> bytes:
        """The file's bytes."""
        count, size = len(self.rows), self.centroids.shape[1]
        parts = [_HEAD.pack(_MAGIC, _VERSION, count, size, len(self.centroids), int(self.numbers is not None))]
        parts += [self.centroids.astype("<f2").tobytes(), self.offsets.astype("<u4").tobytes(),
                  self.rows.astype("<u4").tobytes(), self.bounds.astype("<f2").tobytes()]  # fmt: skip
        if self.numbers is not None and self.scales is not None:
            parts += [bytes(-sum(map(len, parts)) % 4), self.scales.astype("<f4").tobytes(), self.numbers.tobytes()]
        return b"".join(parts)


def parse_lists(content: bytes | mmap.mmap, items: int, size: int) -> Lists:
    """The lists, whose arrays lie in `content`.

    Args:
        content: of the file.
        items: number N of items of the vocabulary.
        size: numbers E of an embedding.

    Raises:
        BundleError: it is cut short, altered, or of another catalogue.
    """
    try:
        magic, version, count, width, lists, copied = _HEAD.unpack_from(content)
        if (magic, version, count, width) != (_MAGIC, _VERSION, items, size) or not 1 <= lists <= count or copied > 1:
            raise ValueError("it is of another catalogue or version")
        at = _HEAD.size
        found: list[Array] = []
        for kind, shape in (("<f2", (lists, width)), ("<u4", (lists + 1,)), ("<u4", (count,)), ("<f2", (lists,)),
                            *((("<f4", (count,)), ("i1", (count, width))) if copied else ())):  # fmt: skip
            at += -at % 4 if kind == "<f4" else 0
            found.append(np.frombuffer(content, kind, int(np.prod(shape)), at).reshape(shape))
            at += found[-1].nbytes
        made = Lists(*found)
        if at != len(content):
            raise ValueError("its size is another")
        if made.offsets[0] != 0 or made.offsets[-1] != count or (np.diff(made.offsets.astype(np.int64)) < 0).any():
            raise ValueError("its lists overlap")
        seen = np.zeros(count + 1, bool)
        seen[np.minimum(made.rows, count)] = True
        if seen[0] or made.rows.max() > count or seen.sum() != count:
            raise ValueError("an item is in no list or in two")
        if not (np.isfinite(made.centroids).all() and np.isfinite(made.bounds).all()):
            raise ValueError("a number is not finite")
        if made.scales is not None and not (np.isfinite(made.scales).all() and (made.scales > 0).all()
                                            and made.scales.max() < _LARGEST):  # fmt: skip
            raise ValueError("a scale is out of range")
    except (ValueError, struct.error, IndexError) as error:
        raise BundleError(f"{LISTS_FILE} cannot be used ({error}): fetch or export the bundle again") from None
    return made
