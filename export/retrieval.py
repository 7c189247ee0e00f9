# SPDX-License-Identifier: Apache-2.0
"""What the manifest says of retrieval: how many items, and where in the file the item table lies.

The table is looked up in the converted file by its content, so that nothing is assumed of how the converter lays a file
out. This module knows nothing about graphs.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from tensorflow.lite.python import schema_py_generated as schema

from pocketrec.device.base.errors import ConfigError, ExportError
from pocketrec.device.contract import names as contract
from pocketrec.device.contract.retrieval import Retrieval, TablePlace
from pocketrec.export.tables.table import GraphTable, ItemTable


def retrieved(k: int, table: GraphTable, ranker: str) -> int:
    """Items that the signature ``retrieve`` gives: no more than there are; 0 = no such signature.

    Raises:
        ConfigError: the table is in blocks, or the ranker's score has no inner product in it.
    """
    if not k:
        return 0
    if not isinstance(table, ItemTable):
        raise ConfigError("export.retrieve needs an item table of one block: set model.item_blocks = [], or "
                          "export.retrieve = 0")  # fmt: skip
    if ranker not in contract.RETRIEVED_FOR:
        raise ConfigError(f"export.retrieve finds items by the inner product, and ranker.kind {ranker!r} has none in "
                          f"its score: take {' or '.join(contract.RETRIEVED_FOR)}, or export.retrieve = 0")  # fmt: skip
    return min(k, table.items)


def retrieval(content: bytes, table: ItemTable, k: int) -> dict[str, Any]:
    """The manifest's table ``retrieval``.

    Args:
        content: the converted file.
        table: the item table that it was built from.
        k: items that the signature ``retrieve`` gives.

    Raises:
        ExportError: the file does not hold the table as it is.
    """
    scales = 0 if table.scales is None else _offset_of(content, table.scales.astype("<f4").tobytes())
    place = TablePlace(_offset_of(content, table.rows.tobytes()), table.items + 1, table.size, scales)
    return dataclasses.asdict(Retrieval(k, place))


def _offset_of(content: bytes, data: bytes) -> int:
    """Where the file has a constant of these bytes."""
    model = schema.Model.GetRootAsModel(content, 0)
    for index in range(model.BuffersLength()):
        buffer = model.Buffers(index)
        if buffer.DataLength() == len(data):
            offset: int = buffer._tab.Vector(buffer._tab.Offset(4))  # of the field `data`
            if content[offset : offset + len(data)] == data:
                return offset
    raise ExportError("the converted file does not hold the item table as one constant, so numpy could not read it: "
                      "report this, or set export.retrieve = 0")  # fmt: skip
