# SPDX-License-Identifier: Apache-2.0
"""Layers that share their tensors (CpRec: Sun, Yuan et al., SIGIR 2020, section 3.2), as ``[model] share`` says.

A backbone with L layers of one kind makes the tensors of some of them only: layer i runs with those of layer
``owners(L, share)[i - 1]``, and its `LayerSpec` names those (`shared`), so that their gradients add up wherever the
specs are read. This module needs no TensorFlow.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pocketrec.device.base.errors import ConfigError
from pocketrec.device.contract.layers import LayerSpec, walk


def owners(count: int, share: str) -> list[int]:
    """For each of `count` layers the number, from 1, of the layer whose tensors it runs with.

    Args:
        count: of the layers.
        share: ``none``: its own; ``adjacent``: of layers 1 and 2 those of 1, of 3 and 4 those of 3, and so on;
            ``all``: those of layer 1.
    """
    group = {"none": 1, "adjacent": 2, "all": max(count, 1)}[share]
    return [number - number % group + 1 for number in range(count)]


def once(made: dict[str, Any], name: str, make: Callable[[str], Any]) -> Any:
    """The Keras layer of this name: the one of `made`, where it is there already, else a new one, which is kept."""
    if name not in made:
        made[name] = make(name)
    return made[name]


def shared(layers: Sequence[LayerSpec], share: str) -> list[LayerSpec]:
    """The layers, each with the tensors of its owner; they run one after the other.

    Raises:
        ConfigError: a layer has other shapes than its owner.
    """
    found = []
    for layer, owner in zip(layers, owners(len(layers), share), strict=True):
        found.append(_with_tensors(layer, layers[owner - 1], share))
    return found


def shares(layers: Iterable[LayerSpec]) -> bool:
    """Whether a tensor belongs to two layers."""
    names = [tensor.name for layer in walk(layers) for tensor in layer.tensors]
    return len(set(names)) < len(names)


def _with_tensors(layer: LayerSpec, owner: LayerSpec, share: str) -> LayerSpec:
    shapes, theirs = ([tensor.shape for tensor in spec.tensors] for spec in (layer, owner))
    if layer.kind != owner.kind or shapes != theirs or len(layer.inner) != len(owner.inner):
        raise ConfigError(
            f"[model] share {share!r}: layer {layer.name} ({_shape(layer)}) cannot have the tensors of {owner.name} "
            f"({_shape(owner)}): choose sizes with which these layers are alike, or share = \"none\""
        )
    pairs = zip(layer.inner, owner.inner, strict=True)
    inner = tuple(_with_tensors(part, other, share) for part, other in pairs)
    return dataclasses.replace(layer, tensors=owner.tensors, inner=inner)


def _shape(layer: LayerSpec) -> str:
    return f"{layer.kind}, {layer.inputs} to {layer.outputs}"
