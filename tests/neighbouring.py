# SPDX-License-Identifier: Apache-2.0
"""Bundles that bring neighbours, or another optional file, for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pocketrec.device.base import documents
from pocketrec.device.contract.manifest import Manifest, entry_of
from pocketrec.device.contract.names import MANIFEST_FILE
from pocketrec.device.contract.neighbours import NEIGHBOURS_FILE, Neighbours


def with_file(folder: Path, content: bytes, name: str = NEIGHBOURS_FILE) -> None:
    """Add an optional file to a bundle."""
    (folder / name).write_bytes(content)
    table = documents.parse_table((folder / MANIFEST_FILE).read_bytes())
    entry = entry_of({name: content})[name]
    table["files"][name] = {"bytes": entry.bytes, "sha256": entry.sha256}
    manifest = Manifest.from_bytes(documents.document(table, ordered=True), "test")
    (folder / MANIFEST_FILE).write_bytes(manifest.to_bytes())


def ring(items: int, strength: float) -> Neighbours:
    """Item i goes with item i + 1."""
    offsets = np.concatenate([[0], np.arange(items + 1)])
    rows = np.arange(1, items + 1) % items + 1
    scales = np.ones(items + 1, np.float32)
    scales[0] = 0
    return Neighbours(offsets, rows, np.full(items, 127, np.int8), scales, 0.5, strength)
