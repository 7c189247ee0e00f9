# SPDX-License-Identifier: Apache-2.0
"""Weights of a next-item model, named as its layers name them.

The names (``gru_2_kernel``, ``fc_bias``) are those of the Keras layers and their variables; they name the tensors of
the ``export_weights`` and ``import_weights`` signatures and of the personal state file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import keras
import numpy as np

from pocketrec.cloud.backbones import ITEM_EMBEDDING, OUTPUT_EMBEDDING
from pocketrec.device.base.array import Array
from pocketrec.device.base.errors import ExportError
from pocketrec.device.contract.layers import LayerSpec, tensors_of
from pocketrec.export.layers.layer import make_layer

#: Share of exact zeros from which a kernel counts as pruned; training leaves none by chance.
PRUNED_SHARE = 0.02

_TABLES = (ITEM_EMBEDDING, OUTPUT_EMBEDDING)


def weights_of(model: keras.Model) -> dict[str, Array]:
    """All weights of a Keras model but item tables, float32, by name: ``<layer>_<variable>``, lowest layer first."""
    return {
        f"{layer.name}_{variable.name}": np.asarray(variable, np.float32)
        for layer in model.layers
        if layer.name not in _TABLES
        for variable in layer.weights
    }


def weights_for(
    layers: Iterable[LayerSpec], model: keras.Model, beside: Collection[str] = ()
) -> dict[str, Array]:
    """The tensors of these layers by name: those of the Keras model, and untrained ones of layers that a way adds.

    Args:
        layers: of the device.
        model: the Keras model.
        beside: names of its weights that are of no layer, such as a ranker's.

    Raises:
        ExportError: the model lacks a tensor, has it in another shape, or has weights that no layer names, which the
            file would be without.
    """
    layers = tuple(layers)
    known, added = weights_of(model), {k: v for layer in layers for k, v in make_layer(layer).untrained().items()}
    found: dict[str, Array] = {}
    for name, tensor in tensors_of(layers).items():
        value = known.get(name, added.get(name))
        if value is None or value.shape != tensor.shape:
            shape = None if value is None else value.shape
            raise ExportError(f"the backbone says that {name} has shape {tensor.shape}, and the model has {shape}: "
                              "its `layers` and `build` do not fit")  # fmt: skip
        found[name] = value
    if left := [name for name in known if name not in found and name not in beside]:
        raise ExportError(f"no layer of the backbone names {', '.join(left)}: the file would be without; its `layers` "
                          "must name every weight of the model")  # fmt: skip
    return found


def pruned_names(weights: Mapping[str, Array]) -> list[str]:
    """Names of the kernels that were pruned: those of which `PRUNED_SHARE` or more is exactly zero."""
    return [
        name for name, value in weights.items() if name.endswith("kernel") and np.mean(value == 0) >= PRUNED_SHARE
    ]
