"""Table ``[model.sasrec]``: options of backbone ``sasrec``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from pocketrec.cloud.config.checks import at_least, require


@dataclass(frozen=True)
class SasRecOptions:
    """The blocks of backbone ``sasrec``."""

    layers: int = 2
    """Number of blocks, each an attention part and a feed-forward part, at least 1."""
    heads: int = 2
    """Heads of each attention; they divide the embedding size."""
    feed_forward: int = 4
    """Width of each block's feed-forward part, in multiples of the embedding size."""
    block_dropout: float = 0.2
    """Dropout of what each part of a block adds, in training only; in steps of 1/256."""

    SPACE: ClassVar[dict[str, Any]] = {
        "layers": [1, 2], "heads": [1, 2, 4], "feed_forward": [2, 4], "block_dropout": {"low": 0.0, "high": 0.6},
    }  # fmt: skip
    """What `pocketrec search` tries where ``[search.space]`` names nothing."""

    def __post_init__(self) -> None:
        at_least(1, self, "model.sasrec", "layers", "heads", "feed_forward")
        require(0 <= self.block_dropout < 1, "model.sasrec", "block_dropout must lie in [0, 1)")

    def check_embedding(self, embedding: int) -> None:
        """Refuse an embedding size that the heads do not divide.

        Raises:
            ConfigError: that.
        """
        require(embedding % self.heads == 0, "model.sasrec", f"heads = {self.heads} does not divide model.embedding = "
                f"{embedding}")  # fmt: skip
