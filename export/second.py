# SPDX-License-Identifier: Apache-2.0
"""The ranker of the second stage in an export: its tensors in the model, and the way that trains them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import keras

from pocketrec.cloud.config.export import ExportConfig
from pocketrec.cloud.rankers.transitions import Transitions
from pocketrec.cloud.ways.ranker import TRAINED
from pocketrec.cloud.ways.way import Applied, Layers, apply
from pocketrec.device.base.array import Array
from pocketrec.device.base.errors import ConfigError, ExportError
from pocketrec.device.contract import names as contract
from pocketrec.export.graph.weights import weights_of

#: A number that a trained model keeps beside the tensors: 0 where the score was trained without the inner product.
_INNER: Final = "ranker_inner"
#: Names of the weights of the model's layer ``ranker``, which are of no layer of the device.
BESIDE: Final = (*contract.RANKER_TENSORS, _INNER)
#: Targets of a step of the way ``ranker`` for each window of ``export.batch``: with the default of 16, a step of 32
#: takes less than twice ``infer`` on ai-edge-litert and about six times on tflite-runtime (benchmarks/rank.py).
_PER_WINDOW: Final = 2


@dataclass(frozen=True)
class Ranked:
    """The ranker of a file, and what it reads beside embeddings."""

    kind: str = contract.INNER_PRODUCT
    """A name in `pocketrec.cloud.config.ranker.RANKERS`."""
    transitions: Transitions | None = None
    """Of ``ranknet``, in the signature ``rank``; None = embeddings alone."""


def second_of(ranker: str, model: keras.Model, way: str) -> dict[str, Array]:
    """The tensors of the second ranker by name; empty where the ranker has no second stage.

    Raises:
        ConfigError: the way trains a second ranker, and there is none; or it was trained without the inner product, so
            that `retrieve` does not find what it ranks.
        ExportError: the model lacks a tensor.
    """
    if ranker != contract.RANKNET:
        if way == contract.RANKER_WAY:
            raise ConfigError('the way ranker trains the tensors of ranknet: set ranker.kind = "ranknet", or take '
                              "another way")  # fmt: skip
        return {}
    known = weights_of(model)
    if missing := [name for name in contract.RANKER_TENSORS if name not in known]:
        raise ExportError(f"the model has no {missing[0]}: train the ranker first, or set ranker.kind = "
                          '"inner_product"')  # fmt: skip
    if known.get(_INNER, 1) != 1:
        raise ConfigError("a ranker that was trained without the inner product ranks other items than devices find: "
                          "set ranker.inner = true")  # fmt: skip
    return {name: known[name] for name in contract.RANKER_TENSORS}


def applied_way(way: str, layers: Layers, config: ExportConfig) -> Applied:
    """What a way makes of a backbone's layers; the way ``ranker`` leaves them as they are.

    Raises:
        ConfigError: see `pocketrec.cloud.ways.way.apply`.
    """
    if way == contract.RANKER_WAY:
        return Applied(layers, TRAINED)
    return apply(way, layers, config)


def positions_of(way: str, config: ExportConfig) -> int:
    """Targets of a train step that takes user embeddings; 0 = the way's steps take windows."""
    return _PER_WINDOW * config.batch if way == contract.RANKER_WAY else 0
