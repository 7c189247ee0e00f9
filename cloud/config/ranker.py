"""Table ``[ranker]``: how a user embedding and item embeddings become scores, and the table of rankers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from pocketrec.device.base.choices import Choice, Table


@dataclass(frozen=True)
class RankerChoice(Choice):
    """One ranker; its `target` is a `pocketrec.cloud.rankers.ranker.Ranker`."""

    training: str = ""
    """``package.module:attribute`` of its other side, a `pocketrec.cloud.rankers.training.TrainingRanker`."""
    graph: str = ""
    """The same of its side in the exported graph, a `pocketrec.export.rankers.ranker.GraphRanker`. Its function on the
    device is a line of `pocketrec.device.contract.rankers.RANKERS` under the same name."""


#: Every ranker by its name in ``[ranker] kind``.
RANKERS: Final = Table(
    "ranker.kind",
    {
        "inner_product": RankerChoice(
            "pocketrec.cloud.rankers.inner_product:InnerProduct", "the inner product of user and item embedding",
            training="pocketrec.cloud.rankers.inner_product_training:InnerProductTraining",
            graph="pocketrec.export.rankers.inner_product:InnerProduct",
        ),
    },
    "pocketrec.rankers",
)  # fmt: skip


@dataclass(frozen=True)
class RankerConfig:
    """How a user embedding and item embeddings become scores (`pocketrec.cloud.rankers`)."""

    kind: str = "inner_product"
    """What makes a score of the two."""

    CHOICES: ClassVar = {"kind": RANKERS}

    def __post_init__(self) -> None:
        RANKERS[self.kind]


#: The default.
INNER_PRODUCT: Final = RankerConfig()
