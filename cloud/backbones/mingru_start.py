# SPDX-License-Identifier: Apache-2.0
"""Where the weights of the mingru backbone start: at random, or so that the untrained model says what the user had
lately.

As for the GRU (`pocketrec.cloud.backbones.gru_start`): candidates pass the normalised item embedding on, groups of
units forget at speeds of their own, and the linear layer after them adds the state to the latest item. Only the first
block copies; those above start with outputs near zero. The latest item enters the sum with its
own length, the state with a length that the gains set: they are proportional to the items' length, so that the share of
earlier items in the sum is the same for items of any length. This module knows nothing about training.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from pocketrec.cloud.config.model import ModelConfig

_GATES: Final = (0.0, -1.7)  # bias of the first and of the last group: half-lives of one and of about four events
_GAINS: Final = (0.6, 1.2)  # of the outputs of the first and of the last group, for items of length 1
_PASSED: Final = 0.3  # of the input, in the candidate's part where tanh is nearly linear
_NOISE: Final = 0.02  # standard deviation of what is added everywhere, so that units differ


def start_at_random(_blocks: list[tuple[Any, Any, Any]], _config: ModelConfig, _seed: int) -> None:
    """Leave the random start, from seeds of `pocketrec.cloud.backbones.mingru`, as it is."""


def start_by_copying(blocks: list[tuple[Any, Any, Any]], config: ModelConfig, seed: int) -> None:
    """Overwrite the random start.

    Args:
        blocks: for each block the built `pocketrec.cloud.backbones.mingru_layer.MinGru`, the `keras.layers.Dense`
            after it, and the last `keras.layers.Dense` of the feed-forward part, None where there is none.
        config: sizes E and H. Unit i belongs to group i // E and takes coordinate i % E; with H = 2E there are two
            groups, with H up to E the slow one alone.
        seed: of the noise.
    """
    units, size = config.options.hidden, config.embedding
    generator = np.random.default_rng([seed, 2])
    places = np.arange(units)
    group = places // size
    share = group / group[-1] if group[-1] else np.ones(units)
    length = config.embedding_std * size**0.5 or 1.0  # of an item at the start
    passing = (np.arange(size)[:, None] == places % size).astype(np.float32)  # (E, H)

    def noise(*shape: int) -> np.ndarray:
        return generator.normal(0, _NOISE, shape).astype(np.float32)

    for number, (layer, out, last) in enumerate(blocks):
        gates = _GATES[0] + share * (_GATES[1] - _GATES[0])
        kernel = np.concatenate([noise(size, units), noise(size, units) + _PASSED * passing], 1)
        layer.set_weights([kernel, np.concatenate([gates, np.zeros(units)])])
        gains = length * (_GAINS[0] + share * (_GAINS[1] - _GAINS[0]))
        weights = noise(units, size) + (passing * gains).T if number == 0 else noise(units, size)
        out.set_weights([weights, np.zeros(size)])
        if last is not None:
            last.set_weights([noise(*last.kernel.shape), np.zeros(size)])
