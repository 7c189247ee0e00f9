# SPDX-License-Identifier: Apache-2.0
"""The way biases: a device trains every bias of the model, and nothing else."""

from pocketrec.cloud.config.export import ExportConfig
from pocketrec.cloud.ways.way import Layers
from pocketrec.device.contract.layers import tensors_of


class Biases:
    """See `pocketrec.cloud.ways.way.Way`."""

    colour = "other"

    def layers(self, layers: Layers, options: ExportConfig) -> Layers:
        """See `Way.layers`."""
        return layers

    def trains(self, layers: Layers) -> tuple[str, ...]:
        """See `Way.trains`."""
        return tuple(name for name in tensors_of(layers) if name.endswith("_bias"))
