# SPDX-License-Identifier: Apache-2.0
"""Tables ``[export]`` and ``[lean]``: the TensorFlow Lite file, and the bundle for large catalogues."""

from __future__ import annotations

from dataclasses import dataclass, field

from pocketrec.cloud.config.checks import LATER, at_least, one_of, require


@dataclass(frozen=True)
class ExportConfig:
    """The TensorFlow Lite file."""

    item_table: str = "int8"
    """int8 (rows with one scale each) or float32."""
    item_bits: int = 8
    """Bits of an entry of an int8 item table, 2 to 8: fewer take less to send, and no less memory."""
    weight_bits: int = 8
    """Bits of an entry of the layers' kernels, 2 to 8 (one scale for each output), or 32 = float32. The device
    computes in float32 with what they stand for; fewer take less to send."""
    keep_pruned: bool = True
    """Weights that pruning made zero stay zero in the devices' training; off: training fills them again."""
    adapter: int = 16
    """Width of the adapters' bottleneck, for the ways patch and patch_parallel."""
    adapter_activation: str = field(default="tanh", metadata=LATER)
    """Function of the bottleneck: tanh, or gelu in its form with tanh (PeterRec)."""
    cardinality: int = field(default=1, metadata=LATER)
    """Adapters of width `adapter` / `cardinality` that are added at each place, instead of one (PeterRec)."""
    train_norm: bool = field(default=True, metadata=LATER)
    """A patch also trains the norms that the backbone names for it: of nextitnet the second of each block."""
    batch: int = 8
    """Windows B of a device train step (static shape)."""
    small_batch: int = field(default=2, metadata=LATER)
    """Windows of a second, small batch in the same file, which a step of so few windows takes: a window is as many
    events as `model.window` says, and most people's steps have one or two. 0 = no such batch; nor is there one where it
    would not be smaller than `batch`, with the way ranker, or of a backbone whose windows have one target each."""
    full_softmax_limit: int = 20_000
    """Largest catalogue for which the device trains with the full softmax; above, the corrected sampled softmax."""
    negatives: int = 1024
    """Shared negatives of a device train step, for the sampled softmax."""
    retrieve: int = field(default=0, metadata=LATER)
    """Items K that the file's signature `retrieve` finds in the whole catalogue by the personal user embedding; 0 = no
    such signature. Take it larger than what is wanted and a history together: seen items are dropped afterwards."""

    index: str = field(default="auto", metadata=LATER)
    """For a catalogue that is searched: exhaustive; lists (`index/lists.bin`), where they reach `recall` on this very
    table and look at half of the rows or less; auto: lists above 200,000 items. Otherwise the run prints the reason."""
    recall: float = field(default=0.95, metadata=LATER)
    """Share of the exact best 100 items that lists must find for the log's own users; sets how many are looked into."""
    lists: int = field(default=0, metadata=LATER)
    """Number of lists; 0 = 2 sqrt(items), at most 4,096."""

    def __post_init__(self) -> None:
        one_of(self.index, ("auto", "exhaustive", "lists"), "export", "index")
        require(0 < self.recall <= 1, "export", f"recall must lie above 0 and at most 1, and is {self.recall}")
        one_of(self.item_table, ("int8", "float32"), "export", "item_table")
        require(2 <= self.item_bits <= 8, "export", "item_bits must lie between 2 and 8")
        require(2 <= self.weight_bits <= 8 or self.weight_bits == 32, "export",
                 "weight_bits must lie between 2 and 8, or be 32")
        at_least(1, self, "export", "adapter", "cardinality", "batch", "negatives")
        one_of(self.adapter_activation, ("tanh", "gelu"), "export", "adapter_activation")
        require(self.adapter % self.cardinality == 0, "export",
                f"adapter must be a multiple of cardinality, and {self.adapter} is none of {self.cardinality}")
        at_least(0, self, "export", "full_softmax_limit", "retrieve", "lists", "small_batch")


@dataclass(frozen=True)
class LeanConfig:
    """A second bundle for catalogues too large for a phone (`pocketrec.device.contract.lean`)."""

    enabled: bool = False
    """Also write ``RUN/lean``: rows of the popular head, a row for each category of the other items (`data.category`),
    and in each candidate shard the rows of its users' candidates and latest items."""
    head: int = 50_000
    """Popular items with rows of their own on every device."""
    shard_items: int = 40_000
    """Most further items that a candidate shard brings; of more, the most popular."""

    def __post_init__(self) -> None:
        at_least(1, self, "lean", "head", "shard_items")
