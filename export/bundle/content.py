# SPDX-License-Identifier: Apache-2.0
"""What a bundle is made of, as a value: the model's part comes from the exporter, the rest from the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pocketrec.device.base.array import Array
from pocketrec.device.contract.lean import ShardItems
from pocketrec.device.contract.names import INNER_PRODUCT
from pocketrec.device.contract.recipe import Recipe


@dataclass(frozen=True)
class BundleContent:
    """All that the files of a bundle hold."""

    items: Sequence[str]
    """External ids; `items[0]` is row 1."""
    recipe: Recipe | Mapping[str, Any]
    """recipe.json; checked when the bundle is written."""
    model_file: bytes = b""
    """Content of model.tflite."""
    model: Mapping[str, Any] = field(default_factory=dict)
    """Facts about the model, see `pocketrec.device.contract.manifest.Manifest`."""
    tensors: Mapping[str, Any] = field(default_factory=dict)
    """Its tensors, see there."""
    card: str = ""
    """Content of MODEL_CARD.md."""
    packed: tuple[bytes, bytes] | None = None
    """Skeleton and weights of the model file (`pocketrec.device.contract.packed`), to be written in its place."""
    gate: Mapping[str, Any] = field(default_factory=dict)
    """What the export gate measured."""
    versions: Mapping[str, Any] = field(default_factory=dict)
    """Versions of the tools."""
    ranker: str = INNER_PRODUCT
    """How an embedding meets item rows, a name in `pocketrec.device.contract.rankers.RANKERS`."""
    retrieval: Mapping[str, Any] = field(default_factory=dict)
    """What the manifest says of retrieval, see `Manifest`."""
    index: bytes = b""
    """Content of index/lists.bin; empty = no such file."""
    candidates: tuple[Sequence[str], Array] | None = None
    """User ids, and their rows [U, K] (0 = padding); None = no candidate sets."""
    known: Array | None = None
    """Integers [U], events of each of these users that the global model was trained on; written only where `cut_off` is
    None, for a device tells them by their times elsewhere."""
    shards: int | None = None
    """Candidate files; None = as many as leave 256 users or more in each on average, at most 4096."""
    cut_off: float | int | None = None
    """Time of the log's cut-off; None where the log has none."""
    neighbours: bytes = b""
    """Content of the file of neighbours (`pocketrec.device.contract.neighbours`); empty = there is none."""
    titles: Sequence[str] = ()
    """Title of each item, "" where it has none; empty = the bundle carries no titles."""
    parent: str = ""
    """Id of the model that this one was made of by federated training; "" = none."""
    mask_seen: bool = False
    """Whether a device leaves out items that the user has had."""
    lean: Mapping[str, Any] = field(default_factory=dict)
    """Counts of a lean table, see `Manifest`; candidates then name rows of that table, reserved ones included."""
    shard_items: Sequence[ShardItems] | None = None
    """With `lean`, the items of each candidate shard."""
    measured: Mapping[str, Any] = field(default_factory=dict)
    """What was evaluated, where the model was trained again since, see `Manifest`."""
    created: str = ""
    """ISO 8601 time; "" = now."""

    @property
    def rows(self) -> int:
        """Rows of the item table, reserved ones included."""
        return len(self.items) + int(self.lean.get("reserved", 0))
