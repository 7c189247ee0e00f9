"""One training step: forward, loss, gradients and update in one plain graph (XLA took 10 s to compile, ran no faster).

This module knows nothing about epochs, validation or files.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from pocketrec.cloud.config import ModelConfig, TrainConfig
from pocketrec.cloud.models import Backbone, item_table
from pocketrec.cloud.train_batches import Batch
from pocketrec.cloud.train_losses import full_softmax, log_uniform, sampled_softmax

_NEGATIVES = 1000  # the dropout layers' seeds lie below


class TrainStep:
    """Calls one step on a model.

    Args:
        backbone: how the model runs in training.
        model: the next-item model; its variables are updated.
        optimizer: built here for the model's variables.
        model_config: of the model.
        config: loss and negatives.
        seed: of dropout and negatives.
    """

    def __init__(
        self,
        backbone: Backbone,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        model_config: ModelConfig,
        config: TrainConfig,
        seed: int,
    ) -> None:
        optimizer.build(model.trainable_variables)
        self.model, self.optimizer, self.seed = model, optimizer, seed
        self._run: Callable[..., tf.Tensor] = _graph(backbone, model, optimizer, model_config, config)

    def __call__(self, batch: Batch, step: int, rate: float) -> float:
        """Run step number `step` at learning rate `rate`; the mean loss over the batch's targets."""
        seed = tf.constant([self.seed, step], tf.int32)
        return self._run(batch.items, batch.targets, batch.keep, seed, tf.constant(rate, tf.float32))


def _graph(
    backbone: Backbone,
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    model_config: ModelConfig,
    config: TrainConfig,
) -> Callable[..., tf.Tensor]:
    variables = [variable.value for variable in model.trainable_variables]
    table = item_table(model)

    def loss_of(embeddings: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        if config.loss == "full_softmax":
            return full_softmax(embeddings, targets, table)
        negatives = log_uniform(config.negatives, tf.shape(table)[0] - 1, seed + tf.constant([0, _NEGATIVES]))
        return sampled_softmax(embeddings, targets, table, negatives)

    @tf.function
    def run(items: tf.Tensor, targets: tf.Tensor, keep: tf.Tensor, seed: tf.Tensor, rate: tf.Tensor) -> tf.Tensor:
        optimizer.learning_rate.assign(rate)
        with tf.GradientTape() as tape:
            embeddings = backbone.train_embeddings(model, model_config, items, keep, seed)  # (B, T, E)
            loss = loss_of(tf.reshape(embeddings, [-1, model_config.embedding]), tf.reshape(targets, [-1]), seed)
        gradients = [tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, variables)]
        optimizer.apply(gradients, model.trainable_variables)
        return loss

    return run
