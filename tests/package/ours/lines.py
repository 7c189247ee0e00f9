# SPDX-License-Identifier: Apache-2.0
"""The lines that the package adds, and their options. Read with every configuration, so it imports nothing heavy."""

from dataclasses import dataclass

from pocketrec.cloud.config.baselines import BaselineChoice
from pocketrec.cloud.config.candidates import SourceChoice
from pocketrec.cloud.config.ranker import RankerChoice
from pocketrec.device.base.choices import Choice
from pocketrec.device.base.errors import ConfigError


@dataclass(frozen=True)
class LatestOptions:
    """Options of the candidate source, ``[candidates.latest]``."""

    own: int = 0
    """At most so many of the user's own items; 0 = all."""

    def __post_init__(self) -> None:
        if self.own < 0:
            raise ConfigError("[candidates.latest] own must be at least 0")


@dataclass(frozen=True)
class FreshOptions:
    """Options of the baseline, ``[baselines.options.fresh]``."""

    first: bool = False
    """By an item's first event, in place of its last."""


MEAN = Choice("ours.mean:Mean", "mean of the item embeddings so far, then a linear layer")
MEAN_LAYER = Choice("ours.mean_layer:MeanLayer", "mean of the rows so far, without padding")
BIASES = Choice("ours.biases:Biases", "biases alone (Ben Zaken et al., ACL 2022)")
COSINE = RankerChoice(
    "ours.cosine:Cosine", "cosine of user and item embedding, times ten",
    training="ours.cosine_training:CosineTraining", graph="ours.cosine_graph:CosineGraph",
)  # fmt: skip
LATEST = SourceChoice("ours.latest:Latest", "the items that the user had last", "ours.lines:LatestOptions")
FRESH = BaselineChoice("ours.fresh:Fresh", "the items that anybody had last", "ours.lines:FreshOptions",
                       label="Fresh items")  # fmt: skip
