# SPDX-License-Identifier: Apache-2.0
"""Table ``[model.mingru]``: options of backbone ``mingru``, and its starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final

from pocketrec.cloud.config.checks import at_least, known, require
from pocketrec.device.base.choices import Choice, Table

MINGRU_STARTS: Final = Table(
    "model.mingru.start",
    {
        "random": Choice("pocketrec.cloud.backbones.mingru_start:start_at_random", "as Keras draws them"),
        "copy": Choice(
            "pocketrec.cloud.backbones.mingru_start:start_by_copying",
            "the untrained model scores items by how lately the user had them, for logs on which people repeat "
            "themselves",
        ),
    },
)


@dataclass(frozen=True)
class MinGruOptions:
    """The blocks of backbone ``mingru``."""

    hidden: int = 96
    """Units H of the recurrent part of each block."""
    layers: int = 2
    """Number of blocks, at least 1."""
    feed_forward: int = 0
    """Width of each block's feed-forward part, in multiples of the embedding size; 0 = without."""
    block_dropout: float = 0.0
    """Dropout of what each part of a block adds, in training only; in steps of 1/256."""
    start: str = "random"
    """Weights of the blocks at the start."""

    CHOICES: ClassVar = {"start": MINGRU_STARTS}
    SPACE: ClassVar[dict[str, Any]] = {
        "hidden": [64, 96, 128, 256], "layers": [1, 2], "feed_forward": [0, 2], "block_dropout": [0.0, 0.2, 0.4],
    }  # fmt: skip
    """What `pocketrec search` tries where ``[search.space]`` names nothing."""

    def __post_init__(self) -> None:
        at_least(1, self, "model.mingru", "hidden", "layers")
        at_least(0, self, "model.mingru", "feed_forward")
        require(0 <= self.block_dropout < 1, "model.mingru", "block_dropout must lie in [0, 1)")
        known(self.start, MINGRU_STARTS, "model.mingru", "start")
