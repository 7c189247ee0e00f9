# SPDX-License-Identifier: Apache-2.0
"""The ways in which a user embedding meets item rows, in numpy; `pocketrec.device.contract.rankers` names them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from pocketrec.device.base.array import Array
from pocketrec.device.base.errors import BundleError, ConfigError
from pocketrec.device.contract.names import INNER_PRODUCT

#: Of an embedding float32 [E] and item embeddings float32 [n, E]: scores float32 [n].
Ranker: TypeAlias = Callable[[Array, Array], Array]


def inner_product(embedding: Array, items: Array) -> Array:
    """Scores float32 [n]: inner products of the embedding, float32 [E], with each of the items, float32 [n, E]."""
    scores: Array = items @ embedding
    return scores


def ranker_of(name: str) -> Ranker:
    """The ranker that a manifest names.

    Raises:
        BundleError: this version has none of that name.
    """
    if name == INNER_PRODUCT:  # nearly always, and then the table is not needed
        return inner_product
    from pocketrec.device.contract.rankers import RANKERS

    try:
        found: Ranker = RANKERS.load(name)
    except ConfigError as error:
        raise BundleError(f"{error}: update pocketrec, or use another bundle") from None
    return found
