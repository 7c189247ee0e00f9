# SPDX-License-Identifier: Apache-2.0
"""Checks that the training of a configuration suits its backbone, before anything is read or trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pocketrec.cloud.config.model import BACKBONES
from pocketrec.device.base.errors import ConfigError

if TYPE_CHECKING:
    from pocketrec.cloud.config.run import RunConfig


def check_training(config: RunConfig) -> None:
    """Refuse a training that the backbone cannot have.

    Raises:
        ConfigError: sessions for a backbone that carries no state, cloze for a causal one, or the next item for one
            that is not causal; or negatives by category where items have none.
    """
    name, train = config.model.backbone, config.train
    if train.batching == "sessions" and not getattr(BACKBONES[name], "carries", True):
        raise no_state(name)
    if config.model.causal and train.objective == "cloze":
        raise ConfigError(
            f'train.objective = "cloze" wants a backbone that sees both sides of an item, and "{name}" sees the items '
            'before it alone: set model.backbone = "grec", or train.objective = "next_item"'
        )
    if train.objective == "later_item" and train.batching != "windows":
        raise ConfigError('train.objective = "later_item" wants train.batching = "windows"')
    if train.similarity != "none" and (train.loss == "full_softmax" or train.batching == "sessions"):
        raise ConfigError('train.similarity wants a loss over negatives and train.batching = "windows"')
    if train.similarity == "cosine" and not config.model.content:
        raise ConfigError('train.similarity = "cosine" compares with content: set model.content = true')
    categories = config.data.category or (config.items.path and config.items.categories)
    if train.sampler == "category_week" and train.loss != "full_softmax" and not categories:
        raise ConfigError('train.sampler = "category_week" wants categories of the items: set data.category, or '
                          "items.path and items.categories")  # fmt: skip
    if not config.model.causal and train.objective != "cloze":
        raise ConfigError(
            f'model.backbone = "{name}" sees both sides of an item, the next one too, and would learn to copy that: '
            'set train.objective = "cloze"'
        )


def no_state(backbone: str) -> ConfigError:
    """The error of session-parallel batches with a backbone of this name, which carries no state."""
    return ConfigError(
        f'model.backbone = "{backbone}" carries no state from step to step, which train.batching = "sessions" wants: '
        'set train.batching = "windows"'
    )
