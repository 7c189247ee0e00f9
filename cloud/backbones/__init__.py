# SPDX-License-Identifier: Apache-2.0
"""Backbones: next-item models over one seam, made by name.

A new backbone is one module with a class that follows `Backbone`, one line in `BACKBONES`
(`pocketrec.cloud.config.model`) and one subclass of `BackboneContract` in the tests.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import keras
import numpy as np

from pocketrec.cloud.backbones.backbone import (
    FC,
    ITEM_EMBEDDING,
    MODEL_NAME,
    OUTPUT_EMBEDDING,
    Backbone,
    input_table,
    is_tied,
    item_table,
    output_table,
    score_table,
)
from pocketrec.cloud.backbones.item_net import content_given
from pocketrec.cloud.backbones.item_table import BlockEmbedding, ItemTable, PlainTable
from pocketrec.cloud.backbones.sharing import shares
from pocketrec.cloud.config.model import BACKBONES, ModelConfig
from pocketrec.cloud.config.ranker import INNER_PRODUCT, RankerConfig
from pocketrec.cloud.data.item_features import ItemFeatures
from pocketrec.cloud.rankers import make_ranker
from pocketrec.cloud.rankers.ranknet_training import with_ranknet
from pocketrec.device.base.errors import ConfigError, DataError
from pocketrec.device.base.files import storage_error, write_atomic

__all__ = [
    "BACKBONES",
    "FC",
    "ITEM_EMBEDDING",
    "MODEL_NAME",
    "OUTPUT_EMBEDDING",
    "Backbone",
    "BlockEmbedding",
    "ItemTable",
    "PlainTable",
    "backbone",
    "build_model",
    "input_embeddings",
    "input_table",
    "is_tied",
    "item_embeddings",
    "item_table",
    "load_model",
    "logits",
    "output_table",
    "save_model",
    "score_table",
]


def backbone(name: str) -> Backbone:
    """The backbone of this name.

    Raises:
        ConfigError: it does not exist.
    """
    made: Backbone = BACKBONES.load(name)()
    return made


def build_model(
    config: ModelConfig,
    items: int,
    seed: int,
    content: ItemFeatures | None = None,
    ranker: RankerConfig = INNER_PRODUCT,
) -> keras.Model:
    """A new model over `items` items: int32 [B, T] -> user embeddings float32 [B, T, E]; equal seeds, equal weights.

    Args:
        config: of the model.
        items: N.
        seed: of the start.
        content: features of the N + 1 rows, which `config.content` wants.
        ranker: whose tensors are trained with the model, where it has any.

    Raises:
        ConfigError: no two layers can share their tensors as the configuration wants, or its blocks of items are more
            than the items.
    """
    made = backbone(config.backbone)
    if config.share != "none" and not shares(made.layers(config)):
        raise ConfigError(
            f"[model] share {config.share!r}: backbone {config.backbone!r} has no two layers that could share: give it "
            'more layers, or set share = "none"'
        )
    with content_given(content if config.content else None):
        model = made.build(config, items, seed)
    return with_ranknet(model, ranker.hidden, ranker.inner, seed) if ranker.joint else model


def item_embeddings(model: keras.Model) -> np.ndarray:
    """A copy of the item embeddings that scores are made with, float32 [N + 1, E]; row 0 is padding."""
    return np.array(output_table(model), dtype=np.float32)


def input_embeddings(model: keras.Model) -> np.ndarray:
    """A copy of the embeddings of items that enter the model, float32 [N + 1, E]; equal to the others where tied."""
    return np.array(input_table(model), dtype=np.float32)


def logits(model: keras.Model, embeddings: np.ndarray, ranker: RankerConfig = INNER_PRODUCT) -> np.ndarray:
    """Scores of all rows by a ranker, float32 [..., N + 1]; -inf in column 0 (padding)."""
    scores = make_ranker(ranker, model).scores(np.asarray(embeddings, np.float32), item_embeddings(model))
    scores[..., 0] = -np.inf
    return scores


def save_model(model: keras.Model, path: Path) -> None:
    """Write the model as a ``.keras`` file, whole or not at all.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.stem}.partial.keras")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        model.save(temporary)
        write_atomic(path, temporary.read_bytes())
    except OSError as error:
        raise storage_error(path, error) from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def load_model(path: Path) -> keras.Model:
    """Read a model written by `save_model`.

    Raises:
        DataError: the file is missing or is not a Keras model.
    """
    for name in BACKBONES.own:
        BACKBONES.load(name)  # Keras reads a file only where the classes of its layers are known
    try:
        return keras.models.load_model(path, compile=False)
    except (OSError, ValueError, KeyError, TypeError) as error:  # the last: a class of layers that is not known
        first = (str(error).splitlines() or ["unreadable"])[0]
        raise DataError(f"cannot load the model {path}: {first}: run `pocketrec train` again") from None
