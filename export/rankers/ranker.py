# SPDX-License-Identifier: Apache-2.0
"""What a ranker is in the exported graph: scores of pairs and of all combinations, and their gradients.

Losses (full and sampled softmax) and ranks stand on these two forms, `pocketrec.export.graph.softmax`. A backward
method takes the gradient of the loss by each score, so that no ranker knows a loss. One with tensors of its own, such
as a network over user and item embedding, reads them by name and returns their gradients; the inner product has none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import tensorflow as tf

from pocketrec.cloud.config.ranker import RANKERS, RankerChoice
from pocketrec.device.base.choices import imported
from pocketrec.device.base.errors import ConfigError

Gradients = dict[str, tf.Tensor]
Value = Callable[[str], tf.Tensor]


class GraphRanker(Protocol):
    """Scores on a device, of builtin ops only; made without arguments.

    Sizes: n users, m items, E numbers of an embedding; all float32.
    """

    def scores(self, users: tf.Tensor, items: tf.Tensor, value: Value) -> tf.Tensor:
        """Scores (n, m) of a few users (n, E) with every item (m, E), outside training."""
        ...

    def prepared(self, items: tf.Tensor, value: Value) -> Any:
        """What `grid` wants of item embeddings (m, E), made once for all chunks of users."""
        ...

    def grid(self, users: tf.Tensor, items: Any, value: Value) -> tuple[tf.Tensor, Any]:
        """Scores (n, m) of every user (n, E) with every item, from `prepared`; and a trace."""
        ...

    def grid_backward(
        self, trace: Any, slopes: tf.Tensor, share: tf.Tensor, value: Value
    ) -> tuple[tf.Tensor, Gradients]:
        """Gradients from those of the scores.

        Args:
            trace: from `grid`.
            slopes: (n, m), gradient of each user's loss by its scores.
            share: (n,), weight of each user's loss in the whole.
            value: as in `grid`.

        Returns:
            Of each user's own loss by the user (n, E), without its weight, which is cheaper put on once for all
            chunks; and of the whole loss by the ranker's own tensors.
        """
        ...

    def pairs(self, users: tf.Tensor, items: tf.Tensor, value: Value) -> tuple[tf.Tensor, Any]:
        """Scores (n, 1) of each user (n, E) with the item (n, E) of its row; and a trace."""
        ...

    def pairs_backward(
        self, trace: Any, slopes: tf.Tensor | None, share: tf.Tensor, value: Value
    ) -> tuple[tf.Tensor, Gradients]:
        """The same as `grid_backward`, from slopes (n, 1); None = 1 for all."""
        ...

    def plain_grid(self, users: tf.Tensor, items: tf.Tensor, value: Value) -> tf.Tensor:
        """Scores (..., m) of users (..., E) with items (m, E) by any op, for gradient tapes: what the gate compares
        with. It uses none of the methods above, so that an error in one of them cannot hide."""
        ...

    def plain_pairs(self, users: tf.Tensor, items: tf.Tensor, value: Value) -> tf.Tensor:
        """Scores (...) of users (..., E), each with the item (..., E) of its place, likewise."""
        ...


def make_ranker(kind: str) -> GraphRanker:
    """The ranker of this name in ``[ranker] kind``.

    Raises:
        ConfigError: there is none, it has no side in the graph, or that does not load.
    """
    choice = RANKERS[kind]
    graph = choice.graph if isinstance(choice, RankerChoice) else ""
    try:
        made: GraphRanker = imported(graph)()
    except Exception as error:  # a stranger's module may raise anything
        raise ConfigError(
            f"ranker.kind {kind} has no side in the graph ({graph}): {error}: repair its package"
        ) from None
    return made
