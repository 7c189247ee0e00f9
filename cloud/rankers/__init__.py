# SPDX-License-Identifier: Apache-2.0
"""Rankers: the one place in the cloud where a user embedding meets item embeddings, in numpy and in training.

A new ranker is a class that follows `pocketrec.cloud.rankers.ranker.Ranker`, one that follows `TrainingRanker`, one
line of `pocketrec.cloud.config.ranker.RANKERS` (or an entry point of the group ``pocketrec.rankers``), one subclass of
`RankerContract` in the tests, and its side in the exported graph (`pocketrec.export`) and on the device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pocketrec.cloud.config.ranker import RANKERS, RankerChoice, RankerConfig
from pocketrec.cloud.rankers.ranker import RANKER_LAYER, Ranker
from pocketrec.device.base.choices import imported
from pocketrec.device.base.errors import ConfigError

if TYPE_CHECKING:
    from pocketrec.cloud.rankers.training import TrainingRanker

__all__ = ["Ranker", "make_ranker", "training_ranker"]


def make_ranker(config: RankerConfig, model: Any = None) -> Ranker:
    """The ranker in numpy.

    Args:
        config: names it.
        model: the Keras model whose layer `RANKER_LAYER` holds the ranker's own tensors; None = it has none.
    """
    layers = [] if model is None else [layer for layer in model.layers if layer.name == RANKER_LAYER]
    arrays = {variable.name: variable.numpy() for layer in layers for variable in layer.weights}
    made: Ranker = RANKERS.load(config.kind).restore(arrays)
    return made


def training_ranker(config: RankerConfig, model: Any = None) -> TrainingRanker:
    """The same ranker in TensorFlow, with gradients, on the model's own variables.

    Raises:
        ConfigError: its line in the table names none.
    """
    choice = RANKERS[config.kind]
    if not (isinstance(choice, RankerChoice) and choice.training):
        raise ConfigError(f"ranker.kind {config.kind!r} names no class for training: its package is wrong")
    made: TrainingRanker = imported(choice.training)(model)
    return made
