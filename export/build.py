"""From a trained Keras model to the bytes of a TensorFlow Lite file and the facts that go with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pocketrec.cloud.backbones import ITEM_EMBEDDING, is_tied
from pocketrec.cloud.config.export import ExportConfig
from pocketrec.cloud.config.model import ModelConfig
from pocketrec.device.base.array import Array
from pocketrec.device.base.errors import ConfigError
from pocketrec.device.base.files import write_atomic
from pocketrec.device.contract import names as contract
from pocketrec.export.file.convert import convert
from pocketrec.export.graph.graph import GraphShape, PersonalGraph
from pocketrec.export.graph.weights import pruned_names, weights_of, with_adapters
from pocketrec.export.layers.adapter import FORMS
from pocketrec.export.tables.quantise import pack, quantise_weights
from pocketrec.export.tables.table import ItemTable

#: Files that `ExportedModel.save` leaves beside model.tflite.
ITEM_EMBEDDINGS_FILE = "item_embeddings.npy"
FACTS_FILE = "facts.json"


@dataclass(frozen=True)
class ExportedModel:
    """A converted model, not yet checked.

    Attributes:
        content: bytes of the .tflite file.
        model: facts for the manifest's ``model`` table (backbone, way, optimizer, window, batch, embedding, hidden,
            layers, candidates, item_table, loss, negatives).
        tensors: facts for the manifest's ``tensors`` table: trainable, slots and frozen, each a list of
            ``{"name", "shape", "dtype"}``.
        item_embeddings: float32 (N + 1, E), the item table as the file holds it (dequantised).
        weights: float32, the GRU and FC tensors as the file holds them (dequantised), by name.
        skeleton, coded: the transport form of `content` (`pocketrec.device.contract.packed`).
    """

    content: bytes
    model: dict[str, Any]
    tensors: dict[str, list[dict[str, Any]]]
    item_embeddings: Array
    weights: dict[str, Array]
    skeleton: bytes
    coded: bytes

    def save(self, folder: Path, gate: Mapping[str, Any]) -> None:
        """Write model.tflite, its transport form (model.skeleton, model.weights), item_embeddings.npy (for evaluation;
        no device gets it) and facts.json into `folder`.

        Args:
            folder: made where it is not there.
            gate: what the gate found (`pocketrec.export.gate.gate.GateReport.to_dict`).

        Raises:
            StorageError: a file could not be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        facts = {"model": self.model, "tensors": self.tensors, "gate": dict(gate)}
        write_atomic(folder / contract.MODEL_FILE, self.content)
        write_atomic(folder / contract.SKELETON_FILE, self.skeleton)
        write_atomic(folder / contract.WEIGHTS_FILE, self.coded)
        write_atomic(folder / ITEM_EMBEDDINGS_FILE, lambda file: np.save(file, self.item_embeddings))
        write_atomic(folder / FACTS_FILE, (json.dumps(facts, indent=1) + "\n").encode())


def build_tflite(
    model: keras.Model,
    model_config: ModelConfig,
    export_config: ExportConfig,
    *,
    way: str,
    optimizer: str,
    candidates: int,
) -> ExportedModel:
    """Re-state a model made by `pocketrec.cloud.backbones` as a builtins-only graph and convert it.

    Args:
        model: the trained model.
        model_config: its shape.
        export_config: item table, batch and loss of the device.
        way: which tensors the device trains (`pocketrec.export.graph.weights.trainable_names`).
        optimizer: sgd, adagrad or adam.
        candidates: items C that one ``infer`` call scores.

    Raises:
        ConfigError: `way` is unknown, or scores have an item table of their own.
    """
    if not is_tied(model):
        raise ConfigError("a device holds one item table: set model.tied = true, or leave the export out")
    weights, embeddings = weights_of(model)
    pruned = pruned_names(weights) if export_config.keep_pruned else []
    weights = with_adapters(weights, way, export_config.adapter)
    quantised = quantise_weights(weights, export_config.weight_bits)
    weights = {name: tensor.values for name, tensor in quantised.items()}
    table = ItemTable.quantise(embeddings, export_config.item_table, export_config.item_bits)
    sampled = table.items > export_config.full_softmax_limit
    shape = GraphShape(export_config.batch, model_config.window, candidates, export_config.negatives if sampled else 0)
    graph = PersonalGraph(weights, table, way, optimizer, shape, pruned)
    facts = {
        "backbone": model_config.backbone,
        "way": way,
        "optimizer": optimizer,
        "adapter": export_config.adapter if way in FORMS else 0,
        "window": shape.window,
        "batch": shape.batch,
        "embedding": model_config.embedding,
        "hidden": model_config.options.hidden,
        "layers": model_config.options.layers,
        "candidates": candidates,
        "items": table.items,
        "item_table": export_config.item_table,
        "item_bits": export_config.item_bits,
        "weight_bits": export_config.weight_bits,
        "loss": contract.SAMPLED_SOFTMAX if sampled else contract.FULL_SOFTMAX,
        "negatives": shape.negatives,
        "pruned": pruned,
    }
    frozen = {name: value for name, value in weights.items() if name not in graph.trainable}
    tensors = {
        "trainable": _specs({name: value.numpy() for name, value in graph.trainable.items()}),
        "slots": _specs({name: value.numpy() for name, value in graph.optimizer.slots.items()}),
        "frozen": [*_specs(frozen), *_specs({ITEM_EMBEDDING: table.rows})],
    }
    content = convert(graph)
    packed = pack(content, {**quantised, ITEM_EMBEDDING: table.quantised()})
    return ExportedModel(content, facts, tensors, table.embeddings(), weights, *packed)


def _specs(arrays: dict[str, Array]) -> list[dict[str, Any]]:
    return [{"name": name, "shape": list(a.shape), "dtype": str(a.dtype)} for name, a in arrays.items()]
