# SPDX-License-Identifier: Apache-2.0
"""Ways that train some of the model's own layers."""

from __future__ import annotations

from pocketrec.cloud.config.export import ExportConfig
from pocketrec.cloud.ways.way import Layers
from pocketrec.device.contract.layers import BODY, HEAD, tensors_of


class Head:
    """The last layer, which makes the user embedding."""

    colour = "naive"

    def layers(self, layers: Layers, options: ExportConfig) -> Layers:
        """See `Way.layers`."""
        return layers

    def trains(self, layers: Layers) -> tuple[str, ...]:
        """See `Way.trains`."""
        return tuple(tensors_of(layer for layer in layers if layer.role == HEAD))


class Partial(Head):
    """The last layer of the body and the head (DeepRec, Han et al., WWW 2021)."""

    colour = "personal"

    def trains(self, layers: Layers) -> tuple[str, ...]:
        """See `Way.trains`."""
        body = [layer for layer in layers if layer.role == BODY]
        return *tensors_of(body[-1:]), *super().trains(layers)


class Whole(Head):
    """All but the item table."""

    colour = "other"

    def trains(self, layers: Layers) -> tuple[str, ...]:
        """See `Way.trains`."""
        return tuple(tensors_of(layers))
