# SPDX-License-Identifier: Apache-2.0
"""From a trained Keras model to a contribution file and the weights of the first round, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from pocketrec.cloud.backbones import ITEM_EMBEDDING, BlockEmbedding, backbone, is_tied, item_embeddings, item_table
from pocketrec.cloud.config.export import ExportConfig
from pocketrec.cloud.config.layers import check_layers
from pocketrec.cloud.config.model import ModelConfig
from pocketrec.device.base.array import Array
from pocketrec.device.base.errors import ConfigError
from pocketrec.device.contract import names as contract
from pocketrec.device.contract.layers import LayerSpec
from pocketrec.export.build import graph_table
from pocketrec.export.federated.graph import ContributionGraph, VariableTable
from pocketrec.export.file.convert import convert
from pocketrec.export.graph.graph import GraphModel, GraphShape
from pocketrec.export.graph.weights import weights_for
from pocketrec.export.rankers.ranker import make_ranker
from pocketrec.export.tables.table import GraphTable

#: What devices improve: the layers and the item table, or the layers alone.
ALL, NET = "all", "net"


@dataclass(frozen=True)
class ContributionFile:
    """A contribution file, not yet checked."""

    content: bytes
    """Of the .tflite file."""
    weights: dict[str, Array]
    """Weights of the first round, float32 by name: the layers' as the Keras model has them, and with `ALL` the item
    table's, (N, E) without padding, under `ITEM_EMBEDDING`."""
    table: Array
    """float32 (N + 1, E), the item table that gradients are taken with where it is frozen, else the model's."""
    layers: tuple[LayerSpec, ...]
    """What the model is made of."""
    facts: dict[str, Any]
    """``tensors`` (all or net), ``batch``, ``window``, ``negatives``, ``items``, ``ranker``, ``causal``, ``values``
    (numbers of an update)."""


def build_contribution(
    model: keras.Model, model_config: ModelConfig, export_config: ExportConfig, *, tensors: str, table_limit: int,
    ranker: str = contract.INNER_PRODUCT,
) -> ContributionFile:  # fmt: skip
    """The gradients of a model made by `pocketrec.cloud.backbones`, as a builtins-only file.

    Args:
        model: the trained model.
        model_config: its shape.
        export_config: batch and loss of the device, and how the bundle holds the table.
        tensors: `ALL` or `NET`.
        table_limit: largest catalogue whose table devices improve.
        ranker: how an embedding meets item rows.

    Raises:
        ConfigError: the table cannot be improved by devices: there are too many items, it is in blocks, not tied, or
            the ranker is not the inner product.
        ExportError: the backbone's layers do not fit the model.
    """
    layers = backbone(model_config.backbone).layers(model_config)
    check_layers(layers, model_config.backbone)
    weights = weights_for(layers, model)
    table: GraphTable
    if tensors == ALL:
        _check_table(model, table_limit, ranker)
        rows = item_embeddings(model)[1:]
        weights = {**weights, ITEM_EMBEDDING: rows}
        table = VariableTable(_zeros(rows))
        embeddings = item_embeddings(model)
        embeddings[contract.PADDING] = 0.0
    else:
        table = graph_table(model, export_config)
        embeddings = table.embeddings()
    sampled = tensors == NET and table.items > export_config.full_softmax_limit
    shape = GraphShape(export_config.batch, model_config.window, 1, export_config.negatives if sampled else 0)
    names = tuple(name for name in weights if name != ITEM_EMBEDDING)
    empty = {name: np.zeros_like(weights[name]) for name in names}
    held = GraphModel(layers, empty, names, causal=model_config.causal)
    graph = ContributionGraph(held, table, shape, make_ranker(ranker), ITEM_EMBEDDING)
    facts = {
        "tensors": tensors, "batch": shape.batch, "window": shape.window, "negatives": shape.negatives,
        "items": table.items, "ranker": ranker, "causal": model_config.causal,
        "values": sum(math.prod(value.shape) for value in weights.values()),
    }  # fmt: skip
    return ContributionFile(convert(graph), weights, embeddings, layers, facts)


def set_weights(model: keras.Model, weights: Mapping[str, Array]) -> None:
    """Put the weights of a round into the Keras model that the contribution file was built from.

    Args:
        model: changed in place.
        weights: as `ContributionFile.weights`.
    """
    for layer in model.layers:
        if layer.name == ITEM_EMBEDDING:
            if layer.name in weights:
                own = layer.get_weights()[0]
                layer.set_weights([np.concatenate([np.zeros_like(own[:1]), weights[layer.name]])])
            continue
        for variable in layer.weights:
            if (name := f"{layer.name}_{variable.name}") in weights:
                variable.assign(weights[name])


def _check_table(model: keras.Model, limit: int, ranker: str) -> None:
    items = len(item_embeddings(model)) - 1
    why = ""
    if not is_tied(model):
        why = "scores have an item table of their own"
    elif isinstance(item_table(model), BlockEmbedding):
        why = "the item table is in blocks"
    elif ranker != contract.INNER_PRODUCT:
        why = f"the ranker is {ranker}"
    elif items > limit:
        why = f"there are {items} items, more than federate.table_limit = {limit}"
    if why:
        raise ConfigError(f"devices cannot improve the item table: {why}: set federate.tensors = \"{NET}\"")


def _zeros(like: Array) -> Any:
    import tensorflow as tf

    return tf.Variable(np.zeros_like(like), name=ITEM_EMBEDDING)
