# SPDX-License-Identifier: Apache-2.0
"""Ways that train adapters beside frozen layers: a patch of a few thousand numbers makes a frozen model personal.

Serial adapters stand after a layer (Houlsby et al., ICML 2019; PeterRec, Yuan et al., SIGIR 2020, figure 3 b), parallel
ones beside it (PeterRec, figure 3 d; He et al., ICLR 2022). Which layers get one is for the backbone to say
(`LayerSpec.patch`); where it says nothing, each of its outermost layers does.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator

from pocketrec.cloud.config.export import ExportConfig
from pocketrec.cloud.ways.way import Layers
from pocketrec.device.contract.layers import ADAPTER, TRAINED, LayerSpec, adapter_spec, tensors_of, walk


class Serial:
    """An adapter after each layer."""

    colour = "global"
    form = "serial"

    def layers(self, layers: Layers, options: ExportConfig) -> Layers:
        """See `Way.layers`."""
        marked = any(layer.patch == ADAPTER for layer in walk(layers))
        numbers = itertools.count()
        return tuple(self._wrapped(layer, not marked, options, numbers) for layer in layers)

    def trains(self, layers: Layers) -> tuple[str, ...]:
        """See `Way.trains`."""
        own = [tensor.name for layer in walk(layers) if layer.kind == "adapter" for tensor in layer.tensors]
        return *own, *tensors_of(layer for layer in walk(layers) if layer.patch == TRAINED)

    def _wrapped(
        self, layer: LayerSpec, outermost: bool, options: ExportConfig, numbers: Iterator[int]
    ) -> LayerSpec:
        """The layer with adapters: around itself where `outermost` or where it asks for one, else inside."""
        if not outermost and layer.patch != ADAPTER:
            inner = tuple(self._wrapped(part, False, options, numbers) for part in layer.inner)
            left_out = layer.patch == TRAINED and not options.train_norm
            return dataclasses.replace(layer, inner=inner, patch="" if left_out else layer.patch)
        return adapter_spec(
            layer, self.form, options.adapter, next(numbers), options.adapter_activation, options.cardinality
        )


class Parallel(Serial):
    """An adapter beside each layer, which reads the layer's input."""

    form = "parallel"
