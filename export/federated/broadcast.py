# SPDX-License-Identifier: Apache-2.0
"""The weights of a round as devices fetch them. Needs no TensorFlow.

They are coded as the bundle's are: integers with one scale for each output of a kernel and for each row of the item
table, vectors as float16. A gradient is then taken at the weights that devices would serve, and a device that joins
late needs nothing of earlier rounds. The server's own weights stay float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from pocketrec.device.base.array import Array
from pocketrec.device.contract.packed import Quantised, encode
from pocketrec.export.tables.quantise import quantise, quantise_weights

_TABLE: Final = "item_embedding"


def round_weights(weights: Mapping[str, Array], bits: int) -> bytes:
    """What a device fetches; `pocketrec.device.contract.packed.decode` gives the tensors.

    Args:
        weights: float32 by name; the item table (N, E), where it is among them, as ``item_embedding``.
        bits: 2 to 8, or 32.
    """
    layers = {name: value for name, value in weights.items() if name != _TABLE}
    coded = quantise_weights(layers, bits)
    if _TABLE in weights:
        rows = weights[_TABLE]
        coded[_TABLE] = Quantised(rows.astype(np.float32), None) if bits == 32 else quantise(rows, bits, axis=1)
    return encode(coded)
