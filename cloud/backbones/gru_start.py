# SPDX-License-Identifier: Apache-2.0
"""Where the weights of the GRU backbone start: at random, or so that the untrained model says what the user had lately.

On logs where people come back to what they had, a GRU that starts at random must first learn to remember items and
to repeat them, from few events of most items. Here it starts there, in the spirit of identity initialisation
(Le, Jaitly, Hinton 2015) and of gates spread over time scales (Tallec, Ollivier 2018): candidate gates pass the item
embedding on, unit i keeps a share d_i of its state at each step, the linear layer gives the state back. The score of
an item is then the sum over its occurrences of weights that decay with their age, and training adds what
follows what. This module knows nothing about training.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pocketrec.cloud.config.model import ModelConfig

_KEPT = (0.3, 0.97)  # range of d: half of the state is lost after 1 to 23 steps
_NOISE = 0.3  # of the random start that stays, so that units differ
_GAIN = 2.0  # of the linear layer


def start_at_random(_gru_layers: list[Any], _fc: Any, _config: ModelConfig, _seed: int) -> None:
    """Leave the random start, from seeds of `pocketrec.cloud.backbones.gru`, as it is."""


def start_by_copying(gru_layers: list[Any], fc: Any, config: ModelConfig, seed: int) -> None:
    """Overwrite the random start.

    Args:
        gru_layers: built `keras.layers.GRU`, gate order z, r, h, from the item embedding on.
        fc: built `keras.layers.Dense` after the last.
        config: sizes E and H; with H below E the first H coordinates are passed on, with H above E the first H - E
            twice and so on, over time scales of their own.
        seed: of the units' time scales.
    """
    units = config.options.hidden
    generator = np.random.default_rng([seed, 1])
    for layer in gru_layers:
        kernel, recurrent, bias = (np.array(weights) for weights in layer.get_weights())
        kernel *= _NOISE
        recurrent *= _NOISE
        kernel[:, 2 * units :] += _passing(len(kernel), units)
        kept = generator.uniform(*_KEPT, units)
        bias[0, :units] = np.log(kept / (1 - kept))  # sigmoid of this is d
        layer.set_weights([kernel, recurrent, bias])
    kernel, bias = (np.array(weights) for weights in fc.get_weights())
    kernel *= _NOISE
    passing = _passing(config.embedding, units).T
    kernel += _GAIN * passing / np.maximum(passing.sum(0), 1)
    fc.set_weights([kernel, bias])


def _passing(inputs: int, units: int) -> np.ndarray:
    """Unit i takes coordinate i, or i modulo `inputs` where there are more units: (inputs, units) float32."""
    coordinates, places = np.arange(inputs)[:, None], np.arange(units)
    return (coordinates == places % inputs).astype(np.float32)
