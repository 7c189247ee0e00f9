"""Named numpy weights of a next-item model, and which of them a way to personalise trains.

The names (``gru_2_kernel``, ``fc_bias``) are those of the Keras layers; they name the tensors of the
``export_weights`` and ``import_weights`` signatures and of the personal state file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import keras
import numpy as np

from pocketrec.cloud.backbones import FC, item_embeddings
from pocketrec.cloud.config.personalise import WAYS
from pocketrec.device.base.array import Array
from pocketrec.device.base.errors import ConfigError
from pocketrec.export.layers.adapter import FORMS, SERIAL, new_adapter

#: Share of exact zeros from which a kernel counts as pruned; training leaves none by chance.
PRUNED_SHARE = 0.02

GRU_TENSORS = ("kernel", "recurrent_kernel", "bias")


def weights_of(model: keras.Model) -> tuple[dict[str, Array], Array]:
    """Weights of a model made by `pocketrec.cloud.backbones`.

    Returns:
        The GRU and FC tensors by name, float32, lowest layer first; and the item embeddings, float32 (N + 1, E).
    """
    weights: dict[str, Array] = {}
    for layer in model.layers:
        if re.fullmatch(r"gru_\d+", layer.name):
            for tensor, value in zip(GRU_TENSORS, layer.get_weights(), strict=True):
                weights[f"{layer.name}_{tensor}"] = value
    kernel, bias = model.get_layer(FC).get_weights()
    weights[f"{FC}_kernel"], weights[f"{FC}_bias"] = kernel, bias
    return weights, item_embeddings(model)


def pruned_names(weights: Mapping[str, Array]) -> list[str]:
    """Names of the kernels that were pruned: those of which `PRUNED_SHARE` or more is exactly zero."""
    return [
        name for name, value in weights.items() if name.endswith("kernel") and np.mean(value == 0) >= PRUNED_SHARE
    ]


def gru_layers(weights: dict[str, Array]) -> list[str]:
    """Names of the GRU layers, lowest first."""
    numbers = {int(match[1]) for name in weights if (match := re.match(r"gru_(\d+)_", name))}
    return [f"gru_{number}" for number in sorted(numbers)]


def with_adapters(weights: dict[str, Array], way: str, width: int) -> dict[str, Array]:
    """The weights with an untrained adapter after (or beside) every GRU layer and FC, where the way has adapters.

    Args:
        weights: from `weights_of`.
        way: as in `trainable_names`; for all but the patches nothing is added.
        width: size of the bottleneck.
    """
    if way not in FORMS:
        return weights
    adapted: dict[str, Array] = {}
    for number, layer in enumerate([*gru_layers(weights), FC]):
        adapted |= {name: value for name, value in weights.items() if name.startswith(f"{layer}_")}
        inputs = weights[f"{layer}_kernel"].shape[0]
        outputs = weights[f"{layer}_kernel"].shape[1] if layer == FC else weights[f"{layer}_recurrent_kernel"].shape[0]
        adapted |= new_adapter(layer, outputs if way == SERIAL else inputs, outputs, width, number)
    return adapted


def trainable_names(way: str, weights: dict[str, Array]) -> list[str]:
    """Names of the tensors that the device trains.

    Args:
        way: ``partial`` = last GRU and FC (DeepRec), ``head`` = FC, ``whole`` = all but the item table, ``patch`` and
            ``patch_parallel`` = the adapters alone.
        weights: from `weights_of`, and for a patch `with_adapters`.

    Raises:
        ConfigError: there is no such way.
    """
    if way in FORMS:
        return [name for name in weights if "_adapter_" in name]
    layers = gru_layers(weights)
    trained = {"partial": layers[-1:], "head": [], "whole": layers}.get(way)
    if trained is None:
        raise ConfigError(f"no way to personalise is called {way!r}: choose one of {', '.join(WAYS)}")
    return [name for name in weights if name.startswith(tuple(f"{layer}_" for layer in (*trained, FC)))]
