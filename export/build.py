# SPDX-License-Identifier: Apache-2.0
"""From a trained Keras model to the bytes of a TensorFlow Lite file and the facts that go with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pocketrec.cloud.backbones import ITEM_EMBEDDING, BlockEmbedding, backbone, is_tied, item_embeddings, item_table
from pocketrec.cloud.config.export import ExportConfig
from pocketrec.cloud.config.layers import check_layers
from pocketrec.cloud.config.model import ModelConfig
from pocketrec.cloud.rankers.transitions import Transitions
from pocketrec.device.base import documents
from pocketrec.device.base.array import Array
from pocketrec.device.base.errors import ConfigError
from pocketrec.device.base.files import write_atomic
from pocketrec.device.contract import names as contract
from pocketrec.device.contract.layers import LAYERS_KEY, LayerSpec, walk
from pocketrec.export.file.convert import convert
from pocketrec.export.graph.graph import GraphModel, GraphShape, PersonalGraph
from pocketrec.export.graph.positions import PositionGraph
from pocketrec.export.graph.weights import pruned_names, weights_for, weights_of
from pocketrec.export.rankers.ranker import make_ranker
from pocketrec.export.rankers.ranknet import RankNet
from pocketrec.export.rankers.transitions import parts
from pocketrec.export.retrieval import retrieval, retrieved
from pocketrec.export.second import BESIDE, Ranked, applied_way, positions_of, second_of
from pocketrec.export.tables.blocks import BlockTable
from pocketrec.export.tables.quantise import pack, quantise_weights
from pocketrec.export.tables.table import GraphTable, ItemTable

#: Files that `ExportedModel.save` leaves beside model.tflite.
ITEM_EMBEDDINGS_FILE = "item_embeddings.npy"
RANKER_FILE = "ranker.npz"
FACTS_FILE = "facts.json"


@dataclass(frozen=True)
class ExportedModel:
    """A converted model, not yet checked.

    Attributes:
        content: bytes of the .tflite file.
        layers: what the model is made of between item embedding and user embedding.
        model: facts for the manifest's ``model`` table (backbone, way, optimizer, window, batch, embedding, candidates,
            item_table, loss, negatives, flop).
        tensors: facts for the manifest's ``tensors`` table: trainable, slots and frozen, each a list of
            ``{"name", "shape", "dtype"}``, and ``layers``, the specs as tables.
        item_embeddings: float32 (N + 1, E), the item table as the file holds it (dequantised).
        weights: float32, the layers' tensors as the file holds them (dequantised), by name.
        skeleton, coded: the transport form of `content` (`pocketrec.device.contract.packed`).
        ranker: how an embedding meets item rows, a name in `pocketrec.cloud.config.ranker.RANKERS`.
        retrieval: the manifest's table ``retrieval``; empty where the file has no such signature.
    """

    content: bytes
    layers: tuple[LayerSpec, ...]
    model: dict[str, Any]
    tensors: dict[str, list[dict[str, Any]]]
    item_embeddings: Array
    weights: dict[str, Array]
    skeleton: bytes
    coded: bytes
    ranker: str = contract.INNER_PRODUCT
    retrieval: dict[str, Any] = field(default_factory=dict)
    transitions: Transitions | None = None

    def save(self, folder: Path, gate: Mapping[str, Any]) -> None:
        """Write model.tflite, its transport form (model.skeleton, model.weights), item_embeddings.npy, ranker.npz where
        the file has the signature ``rank`` (both for evaluation; no device gets them) and facts.json into `folder`.

        Args:
            folder: made where it is not there.
            gate: what the gate found (`pocketrec.export.gate.gate.GateReport.to_dict`).

        Raises:
            StorageError: a file could not be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        facts = {"model": self.model, "tensors": self.tensors, "gate": dict(gate), "ranker": self.ranker}
        facts |= {"retrieval": self.retrieval} if self.retrieval else {}
        write_atomic(folder / contract.MODEL_FILE, self.content)
        write_atomic(folder / contract.SKELETON_FILE, self.skeleton)
        write_atomic(folder / contract.WEIGHTS_FILE, self.coded)
        write_atomic(folder / ITEM_EMBEDDINGS_FILE, lambda file: np.save(file, self.item_embeddings))
        if "rank" in self.model:
            own = {name: self.weights[name] for name in contract.RANKER_TENSORS}
            own |= {} if self.transitions is None else self.transitions.arrays()
            write_atomic(folder / RANKER_FILE, lambda file: np.savez(file, found=self.model["rank"], **own))
        documents.write(folder / FACTS_FILE, facts)


def build_tflite(
    model: keras.Model,
    model_config: ModelConfig,
    export_config: ExportConfig,
    *,
    way: str,
    optimizer: str,
    candidates: int,
    ranker: str | Ranked = contract.INNER_PRODUCT,
    compared: int = 0,
) -> ExportedModel:
    """Re-state a model made by `pocketrec.cloud.backbones` as a builtins-only graph and convert it.

    Args:
        model: the trained model.
        model_config: its shape.
        export_config: item table, batch and loss of the device.
        way: which tensors the device trains (`pocketrec.cloud.ways`).
        optimizer: sgd, adagrad or adam.
        candidates: items C that one ``infer`` call scores.
        ranker: how an embedding meets item rows, a name in `pocketrec.cloud.config.ranker.RANKERS`. Where it is
            ``ranknet``, the model's layer ``ranker`` has its tensors, and the way may be ``ranker``, which trains them.
            With a table that it reads: `Ranked`.
        compared: rows of a task's head that a step of its patch compares; 0 = devices train no task's patch.

    Raises:
        ConfigError: `way` or `ranker` is unknown, a layer of the backbone is, scores have an item table of their
            own, or `retrieve` is asked of a table or ranker that it cannot serve.
        ExportError: the backbone's layers do not fit the model.
    """
    if not is_tied(model):
        raise ConfigError("a device holds one item table: set model.tied = true, or leave the export out")
    layers = backbone(model_config.backbone).layers(model_config)
    check_layers(layers, model_config.backbone)
    by = ranker if isinstance(ranker, Ranked) else Ranked(ranker)
    second = second_of(by.kind, model, way)
    applied = applied_way(way, layers, export_config)
    weights = {**weights_for(applied.layers, model, beside=BESIDE), **second}
    pruned = pruned_names(weights_of(model)) if export_config.keep_pruned else []
    quantised = quantise_weights(weights, export_config.weight_bits)
    weights = {name: tensor.values for name, tensor in quantised.items()}
    table = graph_table(model, export_config)
    sampled = table.items > export_config.full_softmax_limit or way == contract.RANKER_WAY
    shape = GraphShape(
        export_config.batch, model_config.window, candidates, export_config.negatives if sampled else 0, compared,
        retrieved(export_config.retrieve, table, by.kind), (export_config.retrieve or candidates) if second else 0,
        positions=positions_of(way, export_config),
        small=_small_batch(export_config) if model_config.causal and way != contract.RANKER_WAY else 0,
    )  # fmt: skip
    held = GraphModel(applied.layers, weights, applied.trained, frozenset(pruned), model_config.causal)
    first = make_ranker(contract.INNER_PRODUCT if second else by.kind)
    kind = PositionGraph if shape.positions else PersonalGraph
    graph = kind(held, table, optimizer, shape, first, RankNet(by.transitions) if second else None)
    facts = {
        "backbone": model_config.backbone,
        "way": way,
        "optimizer": optimizer,
        "adapter": export_config.adapter if any(layer.kind == "adapter" for layer in walk(applied.layers)) else 0,
        "window": shape.window,
        "batch": shape.batch,
        **({"small_batch": shape.small} if shape.small else {}),
        "embedding": model_config.embedding,
        "candidates": candidates,
        "items": table.items,
        "item_table": export_config.item_table,
        "item_bits": export_config.item_bits,
        **table.facts(),
        "weight_bits": export_config.weight_bits,
        "loss": contract.SAMPLED_SOFTMAX if sampled else contract.FULL_SOFTMAX,
        "negatives": shape.negatives,
        "pruned": pruned,
        "flop": graph.flop(),
        **({} if model_config.causal else {"causal": False}),  # as before there were such models
        **({"rank": shape.rank} if second else {}),
        **({"positions": shape.positions} if shape.positions else {}),
        **({"compared": compared} if compared else {}),
    }
    frozen = {name: value for name, value in weights.items() if name not in graph.trainable}
    rows = table.quantised(ITEM_EMBEDDING)
    tensors = {
        "trainable": _specs({name: value.numpy() for name, value in graph.trainable.items()}),
        "slots": _specs({name: value.numpy() for name, value in graph.optimizer.slots.items()}),
        "frozen": [*_specs(frozen), *_specs({name: tensor.numbers for name, tensor in rows.items()})],
        LAYERS_KEY: [layer.to_dict() for layer in applied.layers],
    }
    content = convert(graph)
    packed = pack(content, {**quantised, **rows, **parts(by.transitions)})
    told = retrieval(content, table, shape.retrieve) if isinstance(table, ItemTable) and shape.retrieve else {}
    return ExportedModel(content, applied.layers, facts, tensors, table.embeddings(), weights, *packed, by.kind, told,
                         by.transitions)  # fmt: skip


def _small_batch(config: ExportConfig) -> int:
    return config.small_batch if config.small_batch < config.batch else 0


def graph_table(model: keras.Model, config: ExportConfig) -> GraphTable:
    """The model's item table as the file is to hold it: in blocks where the model has it so."""
    table = item_table(model)
    if not isinstance(table, BlockEmbedding):
        return ItemTable.quantise(
            item_embeddings(model), config.item_table, config.item_bits, searched=config.retrieve > 0
        )
    tables, projections = (
        [np.asarray(part, np.float32) for part in parts] for parts in (table.tables, table.projections)
    )
    return BlockTable.quantise(tables, projections, config.item_table, config.item_bits)


def _specs(arrays: dict[str, Array]) -> list[dict[str, Any]]:
    return [{"name": name, "shape": list(a.shape), "dtype": str(a.dtype)} for name, a in arrays.items()]
