# SPDX-License-Identifier: Apache-2.0
"""Table ``[ranker]``: how a user embedding and item embeddings become scores, and the table of rankers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Final

from pocketrec.cloud.config.checks import LATER, at_least, rate, require
from pocketrec.device.base.choices import Choice, Table


@dataclass(frozen=True)
class RankerChoice(Choice):
    """One ranker; its `target` is a `pocketrec.cloud.rankers.ranker.Ranker`."""

    training: str = ""
    """``package.module:attribute`` of its other side, a `pocketrec.cloud.rankers.training.TrainingRanker`."""
    graph: str = ""
    """The same of its side in the exported graph, a `pocketrec.export.rankers.ranker.GraphRanker`. Its function on the
    device is a line of `pocketrec.device.contract.rankers.RANKERS` under the same name."""
    second: bool = False
    """Whether it ranks what the inner product has retrieved, and all else (training of the backbone, `infer`, personal
    training) goes by the inner product."""


#: Every ranker by its name in ``[ranker] kind``.
RANKERS: Final = Table(
    "ranker.kind",
    {
        "inner_product": RankerChoice(
            "pocketrec.cloud.rankers.inner_product:InnerProduct", "the inner product of user and item embedding",
            training="pocketrec.cloud.rankers.inner_product_training:InnerProductTraining",
            graph="pocketrec.export.rankers.inner_product:InnerProduct",
        ),
        "ranknet": RankerChoice(
            "pocketrec.cloud.rankers.ranknet:RankNet",
            "the inner product plus a small network over both embeddings, for what the inner product retrieved",
            training="pocketrec.cloud.rankers.ranknet_training:RankNetTraining",
            graph="pocketrec.export.rankers.ranknet:RankNet",
            second=True,
        ),
    },
    "pocketrec.rankers",
)  # fmt: skip


@dataclass(frozen=True)
class RankerConfig:
    """How a user embedding and item embeddings become scores (`pocketrec.cloud.rankers`)."""

    kind: str = "inner_product"
    """What makes a score of the two."""

    hidden: list[int] = field(default_factory=lambda: [64, 32], metadata=LATER)
    """Units of the two layers of `ranknet`."""
    candidates: int = field(default=200, metadata=LATER)
    """Items that the inner product retrieves and `ranknet` ranks."""
    inner: bool = field(default=True, metadata=LATER)
    """Whether the score of `ranknet` has the inner product in it; false: the form of the thesis, for comparison."""
    joint: bool = field(default=False, metadata=LATER)
    """`ranknet` is trained together with the backbone, by its own scores, and not afterwards on frozen embeddings."""
    positions: int = field(default=60_000, metadata=LATER)
    """Latest positions before the cut-off that `ranknet` is trained on, those whose item was retrieved."""
    negatives: int = field(default=32, metadata=LATER)
    """Other retrieved items in each position's softmax."""
    epochs: int = field(default=3, metadata=LATER)
    """Passes of the training of `ranknet`."""
    learning_rate: float = field(default=0.001, metadata=LATER)
    """Rate at its first step; it falls along half a cosine."""
    transitions: int = field(default=0, metadata=LATER)
    """Items kept for each item in a table of what followed it or was near it, which `ranknet` then reads beside the
    embeddings; 0 = none. 4 bytes each in the bundle, 6 above 32,767 items."""

    CHOICES: ClassVar = {"kind": RANKERS}

    def __post_init__(self) -> None:
        RANKERS[self.kind]
        require(len(self.hidden) == 2 and min(self.hidden) >= 1, "ranker", "hidden is two numbers of units")
        at_least(1, self, "ranker", "candidates", "positions", "negatives", "epochs")
        require(rate(self.learning_rate), "ranker", "learning_rate must be above 0 and finite")
        require(not self.joint or self.second, "ranker", 'joint needs kind = "ranknet"')
        at_least(0, self, "ranker", "transitions")
        require(not self.transitions or (self.second and not self.joint), "ranker", 'transitions need kind = "ranknet" '
                "and joint = false: it is trained on embeddings that stay as they are")  # fmt: skip
        require(self.inner or self.joint, "ranker", "inner = false leaves nothing to start from: set joint = true")

    @property
    def second(self) -> bool:
        """Whether it ranks what the inner product has retrieved (`RankerChoice.second`)."""
        return bool(getattr(RANKERS[self.kind], "second", False))

    @property
    def first(self) -> RankerConfig:
        """The ranker of the first stage: what retrieves, what a device trains by, and what `infer` says."""
        return RankerConfig() if self.second else self

    @property
    def trained(self) -> RankerConfig:
        """The ranker by whose scores the backbone is trained."""
        return self if self.joint else self.first


#: The default.
INNER_PRODUCT: Final = RankerConfig()
