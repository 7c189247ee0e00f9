# SPDX-License-Identifier: Apache-2.0
"""Whether a .tflite file can be walked without leaving it: every offset, vector, index and constant's size.

LiteRT checks a file before it uses it; tflite-runtime 2.14 does not, and reads wherever a broken one points. So for
that runtime the walk is made here, once for each file (a note beside it says that it was made). What no walk can
tell: whether the options of an operator fit it, and whether shapes fit each other. A model that was made to do harm is
refused by its signature (`pocketrec pull --key`), not here.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pocketrec.device.base import documents, held
from pocketrec.device.base.errors import BundleError, StorageError

_BYTES, _INTS, _LONGS = 1, 4, 8  # vectors of scalars, by the size of one
#: Fields by place: the size of a vector's scalars, a table, or a list of one: a vector of tables. "" = any table.
_SCHEMA: Final[dict[str, dict[int, int | str | list[str]]]] = {
    "Model": {1: ["OperatorCode"], 2: ["SubGraph"], 3: _BYTES, 4: ["Buffer"], 5: _INTS, 6: ["Metadata"],
              7: ["Signature"]},
    "OperatorCode": {1: _BYTES},
    "SubGraph": {0: ["Tensor"], 1: _INTS, 2: _INTS, 3: ["Operator"], 4: _BYTES},
    "Tensor": {0: _INTS, 3: _BYTES, 4: "Quantisation", 6: "", 7: _INTS},
    "Quantisation": {0: _INTS, 1: _INTS, 2: _INTS, 3: _LONGS},
    "Operator": {1: _INTS, 2: _INTS, 4: "", 5: _BYTES, 7: _BYTES, 8: _INTS},
    "Buffer": {0: _BYTES},
    "Signature": {0: ["TensorMap"], 1: ["TensorMap"], 2: _BYTES},
    "TensorMap": {0: _BYTES},
    "Metadata": {0: _BYTES},
    "": {},
}  # fmt: skip
_SIZES: Final = {0: 4, 1: 2, 2: 4, 3: 1, 4: 8, 6: 1, 7: 2, 9: 1}  # bytes of a tensor's value, by TensorType
_NOTE: Final = ".walked"


def walk_once(path: Path, sha256: str = "") -> None:
    """Walk a model file, unless it is the one that was walked before.

    Args:
        path: the file.
        sha256: its hash, where it is known to be right; else size, time and inode tell the file.

    Raises:
        BundleError: it is broken.
    """
    note = path.with_name(f"{_NOTE}.{path.name}")
    try:
        status = os.stat(path)
        seen = [sha256] if sha256 else [status.st_size, status.st_mtime_ns, status.st_ino]
        if documents.holds(note, seen):
            return
        _Walk(held.hold(path)[0]).model()
    except (struct.error, ValueError, IndexError, OSError, RecursionError) as error:
        again = "fetch or export the bundle again"
        raise BundleError(f"{path} is not a complete model file ({error}): {again}") from None
    with contextlib.suppress(StorageError):  # read-only media: then every opening walks
        documents.note(note, seen)


class _Walk:
    """Readers of one file; each raises ValueError or struct.error where it would leave it."""

    def __init__(self, content: bytes | mmap.mmap) -> None:
        self.content, self.size = content, len(content)

    def u32(self, at: int) -> int:
        return int(struct.unpack_from("<I", self.content, at)[0])

    def fields(self, table: int) -> dict[int, int]:
        """Place of each field that is there."""
        vtable = table - int(struct.unpack_from("<i", self.content, table)[0])
        if vtable < 0 or table % 4:
            raise ValueError(f"no table at {table}")
        length, size = struct.unpack_from("<HH", self.content, vtable)
        if length < 4 or length % 2 or size < 4 or table + size > self.size:
            raise ValueError(f"no table at {table}")
        offsets = struct.unpack_from(f"<{length // 2 - 2}H", self.content, vtable + 4)
        if max(offsets, default=0) >= size:
            raise ValueError(f"a field lies outside of the table at {table}")
        return {place: table + offset for place, offset in enumerate(offsets) if offset}

    def vector(self, at: int, size: int) -> tuple[int, int]:
        """Number of elements, and where the first lies."""
        start = at + self.u32(at)
        count = self.u32(start)
        if start + 4 + count * size > self.size:
            raise ValueError(f"the vector at {start} is longer than the file")
        return count, start + 4

    def ints(self, fields: dict[int, int], place: int) -> tuple[int, ...]:
        if place not in fields:
            return ()
        count, start = self.vector(fields[place], 4)
        return struct.unpack_from(f"<{count}i", self.content, start)

    def scalar(self, fields: dict[int, int], place: int, form: str = "<I") -> int:
        return int(struct.unpack_from(form, self.content, fields[place])[0]) if place in fields else 0

    def tables(self, fields: dict[int, int], place: int) -> Iterator[dict[int, int]]:
        if place in fields:
            count, start = self.vector(fields[place], 4)
            for at in range(start, start + 4 * count, 4):
                yield self.fields(at + self.u32(at))

    def check(self, fields: dict[int, int], kind: str) -> None:
        """All that a table of this kind reaches."""
        for place, content in _SCHEMA[kind].items():
            if place not in fields:
                continue
            if isinstance(content, int):
                self.vector(fields[place], content)
            elif isinstance(content, str):
                self.check(self.fields(fields[place] + self.u32(fields[place])), content)
            else:
                for entry in self.tables(fields, place):
                    self.check(entry, content[0])

    def model(self) -> None:
        if self.content[4:8] != b"TFL3":
            raise ValueError("it does not begin as one")
        root = self.fields(self.u32(0))
        self.check(root, "Model")
        buffers = [self.vector(entry[0], 1)[0] if 0 in entry else 0 for entry in self.tables(root, 4)]
        codes = sum(1 for _ in self.tables(root, 1))
        counts = [self.subgraph(graph, buffers, codes) for graph in self.tables(root, 2)]
        for signature in self.tables(root, 7):
            tensors = counts[self.scalar(signature, 4)]
            for entry in (*self.tables(signature, 0), *self.tables(signature, 1)):
                _within([self.scalar(entry, 1)], 0, tensors, "a signature's tensor")

    def subgraph(self, graph: dict[int, int], buffers: list[int], codes: int) -> int:
        """Number of tensors of a subgraph, after its indices were checked."""
        count = 0
        for count, tensor in enumerate(self.tables(graph, 0), start=1):  # noqa: B007
            shape, size = self.ints(tensor, 0), _SIZES.get(self.scalar(tensor, 1, "<b"))
            held = buffers[self.scalar(tensor, 2)]
            if min(shape, default=1) < 0 or (held and size and held != size * math.prod(shape)):
                raise ValueError("a constant is not of its size")
        _within(self.ints(graph, 1) + self.ints(graph, 2), 0, count, "an input or output")
        for operator in self.tables(graph, 3):
            _within([self.scalar(operator, 0)], 0, codes, "an operator's code")
            _within(self.ints(operator, 1), -1, count, "an operator's input")
            _within(self.ints(operator, 2) + self.ints(operator, 8), 0, count, "an operator's output")
        return count


def _within(values: tuple[int, ...] | list[int], least: int, end: int, what: str) -> None:
    if values and not least <= min(values) <= max(values) < end:
        raise ValueError(f"{what} is not there")
