"""Table ``[model]``: the shape of the next-item model; and the table of backbones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pocketrec.cloud.config.checks import at_least, known, one_of, require
from pocketrec.device.base.choices import Choice, Table

BACKBONES: Final = Table(
    "model.backbone",
    {
        "gru": Choice(
            "pocketrec.cloud.backbones.gru:GruBackbone",
            "GRU layers, then a linear layer (DeepRec; Han et al., WWW 2021)",
        ),
    },
    "pocketrec.backbones",
)


@dataclass(frozen=True)
class ModelConfig:
    """Shape of the next-item model; stored with the model."""

    backbone: str = "gru"
    """Name in the backbone registry (`pocketrec.cloud.backbones`)."""
    embedding: int = 64
    """Size E of item and user embeddings."""
    hidden: int = 96
    """Units H of each GRU layer."""
    layers: int = 2
    """Number of GRU layers, at least 1."""
    window: int = 20
    """Number T of events that the model looks back on."""
    dropout: float = 0.25
    """Dropout of the item embeddings that enter the first GRU, in training only."""
    hidden_dropout: float = 0.0
    """Dropout of each GRU layer's output, in training only."""
    embedding_std: float = 0.0
    """Standard deviation of the item embeddings at the start; 0 = 1 / sqrt(embedding). Larger ones suit logs on which
    people repeat themselves: an item's score for itself grows with its square."""
    similarity: float = 0.0
    """Weight of the factors of the items' similarities in the start of the item embeddings; 0 = none
    (`pocketrec.cloud.training.item_start`). For catalogues of up to some hundred thousand items."""
    tied: bool = True
    """One item table for inputs and scores; false: scores have a table of their own, ``output_embedding``, and there is
    no export."""
    implementation: str = "auto"
    """How a GRU runs in training: unrolled (hand-written, over packed rows: for processors), keras (`keras.layers.GRU`
    over one window a row, which cuDNN runs on a GPU) or auto (keras where there is a GPU)."""
    start: str = "random"
    """Weights of the GRU at the start: random, or copy: the untrained model scores items by how lately the user had
    them (`pocketrec.cloud.backbones.gru_start`), for logs on which people repeat themselves."""

    def __post_init__(self) -> None:
        known(self.backbone, BACKBONES, "model", "backbone")
        one_of(self.implementation, ("auto", "unrolled", "keras"), "model", "implementation")
        at_least(1, self, "model", "embedding", "hidden", "layers", "window")
        for name in ("dropout", "hidden_dropout"):
            require(0 <= getattr(self, name) < 1, "model", f"{name} must lie in [0, 1)")
        at_least(0, self, "model", "embedding_std", "similarity")
        one_of(self.start, ("random", "copy"), "model", "start")
