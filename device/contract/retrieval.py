# SPDX-License-Identifier: Apache-2.0
"""Retrieval over the whole catalogue, as the manifest's table ``retrieval`` tells it.

The item table lies in model.tflite once, and the runtime reads it in place. The exporter writes down where, so that
numpy reads the very same pages: a filter, or a runner without the signature, costs no second copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

from pocketrec.device.base.fields import AtLeast, AtMost, build, hints_of

_Offset = Annotated[int, AtLeast(0), AtMost(1 << 31)]
_Count = Annotated[int, AtLeast(1), AtMost(1 << 31)]

#: Bytes of a float32, which scales, biases and the rows of a float32 table have.
FLOAT: Final = 4


@dataclass(frozen=True)
class TablePlace:
    """Where the item table lies inside model.tflite, in bytes from its beginning."""

    offset: _Offset
    """Of the first row: int8 [rows, columns], or float32 where there are no scales."""
    rows: _Count
    """N + 1 rows; row 0 is padding."""
    columns: _Count
    """Numbers E of a row."""
    scales_offset: _Offset
    """Of the scales, float32 [rows]; 0 = the rows are float32."""

    def ends(self) -> tuple[int, ...]:
        """The first byte after each of its parts."""
        width = 1 if self.scales_offset else FLOAT
        rows = self.offset + self.rows * self.columns * width
        return (rows, self.scales_offset + self.rows * FLOAT) if self.scales_offset else (rows,)


@dataclass(frozen=True)
class Retrieval:
    """The manifest's table ``retrieval``."""

    k: _Count
    """Items that the signature ``retrieve`` gives."""
    table: TablePlace
    """Where numpy finds the rows."""
    kind: Literal["exhaustive", "lists"] = "exhaustive"
    """Whether numpy looks at every row, or at those of the nearest lists."""
    probes: Annotated[int, AtLeast(0)] = 0
    """Lists that are looked into, where kind is lists."""
    recall: dict[str, float] = field(default_factory=dict)
    """Of the exact best c items, the share that is found, by c; as measured at the export."""


def retrieval_of(told: Mapping[str, Any], items: int, size: int) -> Retrieval:
    """The table, checked.

    Args:
        told: as the manifest has it.
        items: number N of items of the vocabulary.
        size: bytes of model.tflite.

    Raises:
        ValueError: a value is missing or wrong, or the table would lie outside the file.
    """
    known = {name: value for name, value in told.items() if name in hints_of(Retrieval)}  # others: later versions'
    found = build(Retrieval, known, "retrieval")
    if found.table.rows != items + 1 or found.k > items:
        raise ValueError("retrieval does not fit the number of items")
    if max(found.table.ends()) > size:
        raise ValueError("retrieval.table lies outside of the model file")
    return found
