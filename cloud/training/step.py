# SPDX-License-Identifier: Apache-2.0
"""Training steps in one plain graph: forward, loss, gradients and update (XLA took 10 s to compile, ran no faster).

Several steps are one call: the graph takes them from a `tf.data` iterator over the stacked batches, in a loop of its
own. On yoochoose-100k a step then takes 8.0 ms, 9.3 when Python calls the graph once a step, and 13 when the graph
loops over the dataset instead of its iterator. This module knows nothing about epochs, validation or files.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from pocketrec.cloud.backbones import Backbone, backbone, item_table, score_table
from pocketrec.cloud.backbones.item_net import id_dropout
from pocketrec.cloud.config.model import ModelConfig
from pocketrec.cloud.config.training import TrainConfig
from pocketrec.cloud.training.batches import Batch
from pocketrec.cloud.training.cloze import most_masks
from pocketrec.cloud.training.distributed import ALONE, Workers
from pocketrec.cloud.training.objective import Objective
from pocketrec.cloud.training.optimizers import Updater
from pocketrec.cloud.training.pruning import Pruner
from pocketrec.cloud.training.similarity import content_vectors, profiles

_NEGATIVES = 1000  # the dropout layers' seeds lie below


def resolved(model_config: ModelConfig, config: TrainConfig) -> ModelConfig:
    """The configuration with all chosen that depends on the machine.

    Raises:
        ConfigError: the backbone cannot carry the state of sessions.
    """
    return backbone(model_config.backbone).resolved(model_config, sessions=config.batching == "sessions")


class Step(NamedTuple):
    """What one step takes; with a leading axis, several steps."""

    batch: Batch
    number: np.ndarray
    """int32 []: of the step, from 0; dropout and negatives follow from it."""
    rate: np.ndarray
    """float32 []: learning rate."""
    sparsity: np.ndarray
    """float32 []: share of the weights to prune after the step; -1 = the masks stay as they are."""
    negatives: Any = ()
    """int32 [B, T, n]: rows of each target's own negatives, 0 = none; empty where targets share what is drawn."""


class LossError(Exception):
    """The loss of a step is not a finite number."""

    def __init__(self, loss: float, step: int) -> None:
        super().__init__(loss, step)
        self.loss, self.step = loss, step
        """The loss; and which of the steps given has it, from 1."""


class TrainSteps:
    """Runs steps on a model.

    Args:
        backbone: how the model runs in training.
        model: the next-item model; its variables are updated.
        model_config: of the model.
        config: how it is trained.
        objective: the loss.
        seed: of dropout and negatives.
        pruner: of the model's tensors; None = nothing is pruned.
        workers: that train together; each passes its own rows.
    """

    def __init__(
        self,
        backbone: Backbone,
        model: keras.Model,
        model_config: ModelConfig,
        config: TrainConfig,
        objective: Objective,
        seed: int,
        pruner: Pruner | None = None,
        workers: Workers = ALONE,
    ) -> None:
        self.backbone, self.model, self.model_config = backbone, model, resolved(model_config, config)
        self.objective, self.seed, self.pruner, self.workers = objective, seed, pruner or Pruner([]), workers
        tables = [*item_table(model).tables, *score_table(model).tables] if objective.sparse else []
        self.updater = Updater(config, model.trainable_variables, tables)
        self.cloze = config.options_of("cloze") if config.objective == "cloze" else None
        self.state: tf.Variable | None = None
        if config.batching == "sessions":
            self.state = tf.Variable(tf.zeros(backbone.state_shape(model_config, config.batch)), trainable=False)
        self._run: Callable[..., Any] = self._graph()

    @property
    def variables(self) -> list[Any]:
        """All state beside the model's weights."""
        return [*self.updater.variables, *self.pruner.masks, *([] if self.state is None else [self.state])]

    def reset(self) -> None:
        """State as at the start of a training."""
        self.updater.reset()
        self.pruner.reset()
        if self.state is not None:
            self.state.assign(tf.zeros_like(self.state))

    def __call__(self, steps: Step) -> float:
        """Run S steps, arrays [S, ...]; the sum of their losses.

        Raises:
            LossError: a loss is not a finite number; the steps after it are not done.
        """
        total, done = self._run(iter(tf.data.Dataset.from_tensor_slices(steps)), tf.constant(len(steps.number)))
        if not math.isfinite(float(total)):
            raise LossError(float(total), int(done))
        return float(total)

    def loss(self, batch: Batch, seed: tf.Tensor, negatives: Any = ()) -> tuple[tf.Tensor, tf.Tensor]:
        """The mean loss of a batch (this worker's part of it), and the state of its rows afterwards; `negatives` as in
        `Step`."""
        with id_dropout(item_table(self.model), self.model_config.id_dropout, seed):
            return self._loss(batch, seed, negatives)

    def _loss(self, batch: Batch, seed: tf.Tensor, negatives: Any) -> tuple[tf.Tensor, tf.Tensor]:
        embeddings, after = self.backbone.train_embeddings(
            self.model, self.model_config, batch.items, batch.keep, self.workers.seed(seed), self.state
        )  # (B, T, E)
        targets, weights = batch.targets, batch.weights
        own = [] if isinstance(negatives, tuple) else [negatives]
        if self.cloze is not None:  # few positions count: the others need no scores
            counts = tf.cast(targets > 0, tf.int32)
            chosen = tf.math.top_k(counts, most_masks(self.cloze, targets.shape[1])).indices  # (B, M)
            embeddings, targets, weights, *own = (
                tf.gather(part, chosen, batch_dims=1) for part in (embeddings, targets, weights, *own)
            )
        if own:  # a group for each position, in any order
            embeddings = tf.reshape(embeddings, [-1, 1, embeddings.shape[-1]])
            targets, weights = (tf.reshape(part, [-1, 1]) for part in (targets, weights))
            own = [tf.reshape(own[0], [-1, own[0].shape[-1]])]
        elif self.state is None:  # one group of all positions
            embeddings = tf.reshape(embeddings, [1, -1, embeddings.shape[-1]])
            targets, weights = (tf.reshape(part, [1, -1]) for part in (targets, weights))
        else:  # a group for each step: (T, B)
            embeddings = tf.transpose(embeddings, [1, 0, 2])
            targets, weights = tf.transpose(targets), tf.transpose(weights)
        drawn = own[0] if own else seed + tf.constant([0, _NEGATIVES])
        users = None
        if self.objective.config.similarity == "cosine":
            users = profiles(content_vectors(item_table(self.model)), batch.items, batch.keep)
            users = tf.reshape(users, [*([-1, 1] if own else [1, -1]), users.shape[-1]])  # as the embeddings are
        mean = self.objective(embeddings, targets, weights, score_table(self.model), drawn, users)
        return mean * self.workers.share(batch.targets), after

    def _graph(self) -> Callable[..., Any]:
        sources = self.updater.sources

        # One graph for each shape of a batch: rows of search and final training may differ. The loop is written out,
        # for AutoGraph would read and rewrite every function called within, which takes longer than the graph itself.
        @tf.function(autograph=False)
        def run(steps: tf.data.Iterator, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            def goes_on(total: tf.Tensor, done: tf.Tensor) -> tf.Tensor:
                return (done < count) & tf.math.is_finite(total)

            def one(total: tf.Tensor, done: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                step = steps.get_next()
                seed = tf.stack([self.seed, step.number])
                with tf.GradientTape() as tape:
                    loss, after = self.loss(step.batch, seed, step.negatives)
                self.updater.apply(self.workers.sum(tape.gradient(loss, sources)), step.rate)
                self.pruner.after_step(step.sparsity)
                if self.state is not None:
                    self.state.assign(after)
                return total + tf.cast(self.workers.sum([loss])[0], tf.float64), done + 1

            start = (tf.zeros([], tf.float64), tf.constant(0))
            found: tuple[tf.Tensor, tf.Tensor] = tf.while_loop(goes_on, one, start)
            return found

        return run
