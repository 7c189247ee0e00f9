# SPDX-License-Identifier: Apache-2.0
"""A training that goes on from the weights of an earlier model: last week's, on the log as it is now.

Rows move by item id. An item that the earlier model did not know starts at the mean of the rows of items that the same
users had, weighed by similarity (as item-kNN has it), and where there are none as in a model that was just made. This
module knows nothing about runs and their folders, and nothing about cut-offs: it is given the events before them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.backbones import ITEM_EMBEDDING, OUTPUT_EMBEDDING
from pocketrec.cloud.base.fingerprint import fingerprint
from pocketrec.cloud.baselines.neighbours import fit_neighbours
from pocketrec.cloud.config.knn import KnnConfig
from pocketrec.device.base.errors import ConfigError

if TYPE_CHECKING:
    from pocketrec.cloud.data.sequences import Sequences

_NEAR = KnnConfig(neighbours=100, shrink=5.0)


@dataclass(frozen=True)
class WarmStart:
    """Weights to go on from."""

    name: str
    """Of the earlier model, for messages."""
    weights: Mapping[str, NDArray[Any]]
    """Its trained tensors, by the path of the Keras variable."""
    rows: NDArray[np.int64]
    """int64 (N + 1,): the earlier model's row of each item; 0 = it did not know the item."""
    until: float
    """Time of the latest event that it has learned from."""

    @property
    def known(self) -> int:
        """Items that the earlier model knew."""
        return int((self.rows > 0).sum())

    def fingerprint(self) -> str:
        """Equal for two starts that give the same weights."""
        return fingerprint([list(self.weights), self.until], [*self.weights.values(), self.rows])

    def check(self, model: keras.Model) -> None:
        """See that every tensor of a model has a place to come from.

        Raises:
            ConfigError: the sizes differ.
        """
        for variable in model.trainable_variables:
            found, wanted = self.weights.get(variable.path), tuple(variable.shape)
            if found is None or found.shape[_of_items(variable) :] != wanted[_of_items(variable) :]:
                has = "no such tensor" if found is None else f"shape {found.shape}"
                raise ConfigError(
                    f"{self.name} cannot be gone on from: {variable.path} has shape {wanted} now, and {has} there; "
                    "take the [model] that it was trained with, or train without --warm-start"
                )

    def give(self, model: keras.Model, sequences: Sequences) -> None:
        """Set the weights of a model that was just made.

        Args:
            model: gets them.
            sequences: events that it will be trained on, by which new items find their place.

        Raises:
            ConfigError: the sizes differ.
        """
        self.check(model)
        for variable in model.trainable_variables:
            earlier = self.weights[variable.path]
            if _of_items(variable):
                earlier = self._moved(variable.numpy(), earlier, sequences)
            variable.assign(earlier)

    def _moved(
        self, fresh: NDArray[Any], earlier: NDArray[Any], sequences: Sequences
    ) -> NDArray[Any]:
        """The item table [N + 1, E], of a fresh one and of the earlier one [M + 1, E]."""
        table = np.where((self.rows > 0)[:, None], earlier[self.rows], fresh)
        table[0] = 0
        new = np.flatnonzero(self.rows[1:] == 0) + 1
        if not len(new):
            return table
        found = fit_neighbours(_NEAR, sequences, len(self.rows) - 1)
        for row in new.tolist():
            near = slice(found.offsets[row], found.offsets[row + 1])
            weights = np.where(self.rows[found.items[near]] > 0, found.similarities[near], 0)
            if weights.sum() > 0:
                table[row] = weights @ table[found.items[near]] / weights.sum()
        return table


def trained_tensors(model: keras.Model) -> dict[str, NDArray[Any]]:
    """The trained tensors of a model by the paths of its variables, as `WarmStart.weights` has them."""
    return {variable.path: variable.numpy() for variable in model.trainable_variables}


def _of_items(variable: Any) -> bool:
    """Whether the first axis of a variable is rows of items."""
    return variable.path.split("/")[0] in (ITEM_EMBEDDING, OUTPUT_EMBEDDING)
