"""Rankers in the exported graph: how a user embedding and item embeddings become scores, with gradients.

A new one is a file with a class that follows `pocketrec.export.rankers.ranker.GraphRanker`, a line here under the name
that it has in the cloud, and a subclass of `RankerContract` in the tests. This table holds addresses only.
"""

from typing import Final

from pocketrec.device.base.choices import Choice, Table

#: Name of a ranker -> class of its graph side; an installed package adds one by an entry point of this group.
GRAPH_RANKERS: Final = Table(
    "ranker",
    {
        "inner_product": Choice(
            "pocketrec.export.rankers.inner_product:InnerProduct", "inner product of user and item embedding"
        ),
    },
    "pocketrec.graph_rankers",
)
