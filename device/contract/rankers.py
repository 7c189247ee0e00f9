"""The table of rankers: how a user embedding meets item rows, by the name that a manifest holds.

A target is a function of two float32 arrays, the embedding [E] and item embeddings [n, E], that gives scores float32
[n]. The device calls it where the file's own signature `infer` is not asked: `pocketrec.device.engine.model.Model.scores`.
"""

from __future__ import annotations

from typing import Final

from pocketrec.device.base.choices import Choice, Table
from pocketrec.device.contract.names import INNER_PRODUCT

RANKERS: Final = Table(
    "ranker",
    {
        INNER_PRODUCT: Choice(
            "pocketrec.device.engine.scores:inner_product", "the inner product of user and item embedding"
        )
    },
    "pocketrec.device_rankers",
)
