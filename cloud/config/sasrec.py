# SPDX-License-Identifier: Apache-2.0
"""Table ``[model.sasrec]``: options of backbone ``sasrec``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from pocketrec.cloud.config.checks import at_least, require


@dataclass(frozen=True)
class SasrecOptions:
    """The attention blocks of backbone ``sasrec``."""

    layers: int = 2
    """Number of blocks, at least 1; each is an attention part and a feed-forward part."""
    heads: int = 2
    """Heads of each attention; `embedding` must be divisible by it."""
    feed_forward: int = 4
    """Units of the feed-forward part, as a multiple of `embedding`."""
    block_dropout: float = 0.2
    """Dropout of what each part adds, in training only."""
    attention_dropout: float = 0.0
    """Dropout of the attention's weights, in training only."""

    SPACE: ClassVar[dict[str, Any]] = {
        "layers": [1, 2, 3], "heads": [1, 2, 4], "feed_forward": [2, 4], "block_dropout": {"low": 0.1, "high": 0.6},
    }  # fmt: skip
    """What `pocketrec search` tries where ``[search.space]`` names nothing."""

    def __post_init__(self) -> None:
        at_least(1, self, "model.sasrec", "layers", "heads", "feed_forward")
        for name in ("block_dropout", "attention_dropout"):
            require(0 <= getattr(self, name) < 1, "model.sasrec", f"{name} must lie in [0, 1)")

    def check(self, embedding: int) -> None:
        """Refuse an embedding size that does not fit.

        Raises:
            ConfigError: it is not divisible by the number of heads.
        """
        require(embedding % self.heads == 0, "model.sasrec",
                f"heads = {self.heads} must divide model.embedding = {embedding}")  # fmt: skip
