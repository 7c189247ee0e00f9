# SPDX-License-Identifier: Apache-2.0
"""The way ``ranker``: the ranker of the second stage trains, and nothing of the model's layers does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pocketrec.cloud.config.export import ExportConfig
from pocketrec.cloud.ways.way import Layers
from pocketrec.device.contract.names import RANKER_TENSORS

#: What trains: all but B, whose products with the items are alike for everybody.
TRAINED: Final = tuple(name for name in RANKER_TENSORS if name != "ranker_B")


class Ranker:
    """See `Way`; its tensors are no layer's, so it is not one of those that `pocketrec.cloud.ways.way.apply` knows."""

    colour = "personal"

    def layers(self, layers: Layers, options: ExportConfig) -> Layers:
        """See `Way.layers`: as they are."""
        return layers

    def trains(self, layers: Layers) -> Iterable[str]:
        """See `Way.trains`."""
        return TRAINED
