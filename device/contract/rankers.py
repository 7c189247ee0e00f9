# SPDX-License-Identifier: Apache-2.0
"""The table of rankers: how a user embedding meets item rows, by the name that a manifest holds.

A target is a function of two float32 arrays, the embedding [E] and item embeddings [n, E], that gives scores float32
[n]. `pocketrec.device.engine.model.Model.scores` calls it; the file's own signature `infer` has it in its graph.
"""

from __future__ import annotations

from typing import Final

from pocketrec.device.base.choices import Choice, Table
from pocketrec.device.contract.names import INNER_PRODUCT, RANKNET

RANKERS: Final = Table(
    "ranker",
    {
        INNER_PRODUCT: Choice(
            "pocketrec.device.engine.scores:inner_product", "the inner product of user and item embedding"
        ),
        RANKNET: Choice(
            "pocketrec.device.engine.scores:inner_product",
            "the inner product, by which items are found and the model is trained; the file's signature `rank` ranks",
        ),
    },
    "pocketrec.device_rankers",
)
