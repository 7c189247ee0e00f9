# SPDX-License-Identifier: Apache-2.0
"""Tables ``[model.nextitnet]`` and ``[model.grec]``: blocks of dilated convolutions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from pocketrec.cloud.config.checks import at_least, require


@dataclass(frozen=True)
class NextItNetOptions:
    """The convolutions of backbone ``nextitnet``; their channels are the item embedding's."""

    kernel: int = 3
    """Items that a convolution looks at."""
    dilations: list[int] = field(default_factory=lambda: [1, 4, 1, 4])
    """Steps between these items in the first convolution of each block; in the second it is twice as many. With kernel
    3, blocks of 1 and 4 see 31 events, twice as many blocks 61."""
    block_dropout: float = 0.0
    """Dropout of what each block adds to its input, in training only."""

    SECTION: ClassVar[str] = "model.nextitnet"
    CAUSAL: ClassVar[bool] = True
    """Whether an event is the last of those that its convolution looks at, or in their middle."""
    SPACE: ClassVar[dict[str, Any]] = {"block_dropout": [0.0, 0.2, 0.4]}
    """What `pocketrec search` tries where ``[search.space]`` names nothing."""

    def __post_init__(self) -> None:
        at_least(2, self, self.SECTION, "kernel")
        require(bool(self.dilations) and min(self.dilations) >= 1, self.SECTION,
                "dilations must be a list of numbers of at least 1, one for each block")
        require(0 <= self.block_dropout < 1, self.SECTION, "block_dropout must lie in [0, 1)")

    @property
    def reach(self) -> int:
        """Events before its own that a position of the last block sees."""
        return (self.kernel - 1) * sum(3 * dilation for dilation in self.dilations)


@dataclass(frozen=True)
class GrecOptions(NextItNetOptions):
    """The convolutions of backbone ``grec``: those of ``nextitnet``, with an event in the middle of what is looked
    at."""

    SECTION: ClassVar[str] = "model.grec"
    CAUSAL: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.kernel % 2 == 1, self.SECTION, "kernel must be odd: an event lies in the middle of it")

    @property
    def reach(self) -> int:
        """Events on either side that a position of the last block sees."""
        return super().reach // 2
