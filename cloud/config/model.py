# SPDX-License-Identifier: Apache-2.0
"""Table ``[model]``: the shape of the next-item model; and the table of backbones."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from pocketrec.cloud.config.checks import LATER, at_least, known, one_of, require
from pocketrec.cloud.config.section import Section
from pocketrec.device.base.choices import Choice, Table


@dataclass(frozen=True)
class BackboneChoice(Choice):
    """One backbone, with what the rest of a configuration has to fit."""

    causal: bool = True
    """Whether what it says of a position follows from the items up to there alone. Else the model sees both sides of
    each: it is trained by cloze, and what comes next is asked for one window for each target."""
    carries: bool = True
    """Whether it can carry a state on from step to step, which session-parallel batches want."""


BACKBONES: Final = Table(
    "model.backbone",
    {
        "gru": Choice(
            "pocketrec.cloud.backbones.gru:GruBackbone",
            "GRU layers, then a linear layer (DeepRec; Han et al., WWW 2021)",
            "pocketrec.cloud.config.model:GruOptions",
        ),
        "mingru": Choice(
            "pocketrec.cloud.backbones.mingru:MinGruBackbone",
            "blocks of a minimal GRU, whose gates do not look at the state (Feng et al. 2024), then a linear layer",
            "pocketrec.cloud.config.mingru:MinGruOptions",
        ),
        "nextitnet": BackboneChoice(
            "pocketrec.cloud.backbones.nextitnet:NextItNetBackbone",
            "blocks of dilated causal convolutions (Yuan et al., WSDM 2019)",
            "pocketrec.cloud.config.nextitnet:NextItNetOptions",
            carries=False,
        ),
        "sasrec": BackboneChoice(
            "pocketrec.cloud.backbones.sasrec:SasrecBackbone",
            "causal self-attention blocks (SASRec; Kang and McAuley, ICDM 2018)",
            "pocketrec.cloud.config.sasrec:SasrecOptions",
            carries=False,
        ),
        "grec": BackboneChoice(
            "pocketrec.cloud.backbones.grec:GrecBackbone",
            "blocks of dilated convolutions that see both sides, trained by cloze (GRec; Yuan et al., WWW 2020)",
            "pocketrec.cloud.config.nextitnet:GrecOptions",
            causal=False,
            carries=False,
        ),
        "towers": BackboneChoice(
            "pocketrec.cloud.backbones.towers:TowersBackbone",
            "a network over mean and deviation of the window's item embeddings: the order within it does not matter",
            "pocketrec.cloud.config.towers:TowersOptions",
            carries=False,
        ),
    },
    "pocketrec.backbones",
)
GRU_IMPLEMENTATIONS: Final = Table(
    "model.gru.implementation",
    {
        "auto": Choice("pocketrec.cloud.backbones.gru:suited", "keras where there is a GPU, else unrolled"),
        "unrolled": Choice(
            "pocketrec.cloud.backbones.gru:unrolled", "written by hand, over packed rows: for processors"
        ),
        "keras": Choice(
            "pocketrec.cloud.backbones.gru:layered", "`keras.layers.GRU`, one window a row, which cuDNN runs on a GPU"
        ),
    },
)
GRU_STARTS: Final = Table(
    "model.gru.start",
    {
        "random": Choice("pocketrec.cloud.backbones.gru_start:start_at_random", "as Keras draws them"),
        "copy": Choice(
            "pocketrec.cloud.backbones.gru_start:start_by_copying",
            "the untrained model scores items by how lately the user had them, for logs on which people repeat "
            "themselves",
        ),
    },
)

#: What `ModelConfig.share` may be.
SHARES: Final = ("none", "adjacent", "all")


@dataclass(frozen=True)
class GruOptions:
    """The GRU layers of backbone ``gru``."""

    hidden: int = 96
    """Units H of each GRU layer."""
    layers: int = 2
    """Number of GRU layers, at least 1."""
    hidden_dropout: float = 0.0
    """Dropout of each GRU layer's output, in training only."""
    implementation: str = "auto"
    """How a GRU runs in training."""
    start: str = "random"
    """Weights of the GRU at the start."""

    CHOICES: ClassVar = {"implementation": GRU_IMPLEMENTATIONS, "start": GRU_STARTS}
    SPACE: ClassVar[dict[str, Any]] = {"hidden": [64, 96, 128], "layers": [1, 2], "hidden_dropout": [0.0, 0.2, 0.4]}
    """What `pocketrec search` tries where ``[search.space]`` names nothing."""

    def __post_init__(self) -> None:
        at_least(1, self, "model.gru", "hidden", "layers")
        require(0 <= self.hidden_dropout < 1, "model.gru", "hidden_dropout must lie in [0, 1)")
        known(self.implementation, GRU_IMPLEMENTATIONS, "model.gru", "implementation")
        known(self.start, GRU_STARTS, "model.gru", "start")


@dataclass(frozen=True)
class ModelConfig(Section):
    """Shape of the next-item model; stored with the model."""

    backbone: str = "gru"
    """What lies between item embeddings and user embeddings; its options stand in ``[model.NAME]``."""
    embedding: int = 64
    """Size E of item and user embeddings."""
    window: int = 20
    """Number T of events that the model looks back on."""
    dropout: float = 0.25
    """Dropout of the item embeddings that enter the backbone, in training only."""
    embedding_std: float = 0.0
    """Standard deviation of the item embeddings at the start; 0 = 1 / sqrt(embedding). Larger ones suit logs on which
    people repeat themselves: an item's score for itself grows with its square."""
    similarity: float = 0.0
    """Weight of the factors of the items' similarities in the start of the item embeddings; 0 = none
    (`pocketrec.cloud.training.item_start`). For catalogues of up to some hundred thousand items."""
    tied: bool = True
    """One item table for inputs and scores; false: scores have a table of their own, ``output_embedding``, and there is
    no export."""
    item_blocks: list[list[float]] = field(default_factory=list, metadata=LATER)
    """Item table in blocks of popularity (CpRec; Sun, Yuan et al., SIGIR 2020): ``[[0.1, 64], [0.3, 16], [0.6, 4]]``
    gives the most popular tenth of the items rows of 64 numbers, the next three tenths 16 and the others 4, each
    block with a projection to `embedding`; the shares sum to 1. Empty: each item has a row of `embedding` numbers."""
    share: str = field(default="none", metadata=LATER)
    """Layers of equal shape that share their tensors (CpRec): none; adjacent: the first and second, the third and
    fourth, and so on; all."""

    content: bool = field(default=False, metadata=LATER)
    """An item's embedding is a row of its own plus what a small network makes of its content, the table of ``[items]``;
    an item that nobody had yet is known by its content alone."""
    content_hidden: int = field(default=64, metadata=LATER)
    """Units of that network."""
    id_dropout: float = field(default=0.0, metadata=LATER)
    """Share of the items whose own rows are left out of a training step, so that their content must carry them."""
    popularity_start: bool = field(default=False, metadata=LATER)
    """The untrained model scores items by the logarithm of their events: one direction of the item embeddings, which
    the bias of the last layer meets, is their bias."""

    SECTION: ClassVar[str] = "model"
    CHOICES: ClassVar = {"backbone": BACKBONES}
    MOVED: ClassVar = {
        name: f"gru.{name}" for name in ("hidden", "layers", "hidden_dropout", "implementation", "start")
    }
    SOLE: ClassVar = frozenset({"gru"})
    SPACE: ClassVar[dict[str, Any]] = {
        "embedding": [64, 96, 128], "dropout": {"low": 0.1, "high": 0.7}, "embedding_std": [0.0, 0.25, 0.5],
    }  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, self, "model", "embedding", "window")
        require(0 <= self.dropout < 1, "model", "dropout must lie in [0, 1)")
        at_least(0, self, "model", "embedding_std", "similarity")
        one_of(self.share, SHARES, "model", "share")
        at_least(1, self, "model", "content_hidden")
        require(0 <= self.id_dropout < 1, "model", "id_dropout must lie in [0, 1)")
        require(not self.id_dropout or self.content, "model", "id_dropout wants content = true")
        require(not self.content or (self.tied and not self.item_blocks), "model",
                "content is one table without blocks: set tied = true and leave item_blocks out")  # fmt: skip
        self._check_blocks()
        if check := getattr(self.options, "check", None):  # of options that depend on the size of the embeddings
            check(self.embedding)

    def _check_blocks(self) -> None:
        """Refuse blocks that are none."""
        blocks = self.item_blocks
        if not blocks:
            return
        require(all(len(block) == 2 for block in blocks), "model",
                "item_blocks is a list of [share, width], such as [[0.1, 64], [0.9, 8]]")  # fmt: skip
        total = math.fsum(share for share, _ in blocks)
        require(all(share > 0 for share, _ in blocks) and abs(total - 1) < 1e-6, "model",
                f"the shares of item_blocks must be above 0 and sum to 1, and sum to {total:g}")  # fmt: skip
        for _, width in blocks:
            require(width == int(width) and 1 <= width <= self.embedding, "model",
                    f"a width of item_blocks must be a whole number from 1 to embedding = {self.embedding}, and is "
                    f"{width:g}")  # fmt: skip
        require(self.tied, "model", "item_blocks is one table for inputs and scores: set tied = true")

    @property
    def causal(self) -> bool:
        """Whether the backbone is (`BackboneChoice.causal`); one of a package that does not say is."""
        return bool(getattr(BACKBONES[self.backbone], "causal", True))

    @property
    def options(self) -> Any:
        """Options of the chosen backbone; None where it has none."""
        return self.options_of(self.backbone)
