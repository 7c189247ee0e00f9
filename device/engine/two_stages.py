# SPDX-License-Identifier: Apache-2.0
"""The two signatures of a model file that searches its whole catalogue, and ranks what was found: a part of `Model`."""

from __future__ import annotations

from typing import Any

import numpy as np

from pocketrec.device.base.array import Array
from pocketrec.device.contract import names as contract


class TwoStages:
    """What `Model` offers of a file that has the signatures ``retrieve`` or ``rank``."""

    retrieves: bool
    """Whether the file finds items of the whole catalogue (`retrieve`)."""
    ranks: bool
    """Whether the file has a ranker of a second stage (`rank`)."""

    def rank(self, items: Array, candidates: Array) -> Array:
        """Scores, float32 [n], by the ranker of the second stage, of candidate rows, int32 [n], after the events
        `items`, int32 [1, T]; any number of rows, as many at a time as the signature takes.

        Raises:
            ValueError: a wrong shape or dtype, a row that the item table lacks, or a file without the signature
                (`ranks`).
        """
        if not self.ranks:
            raise ValueError("the model file has no signature rank: export with ranker.kind = \"ranknet\"")
        (count,) = self._signature(contract.RANK_CANDIDATES)[contract.CANDIDATES][0]
        scores = np.zeros(len(candidates), np.float32)
        for start in range(0, len(candidates), count):
            part = candidates[start : start + count]
            padded = np.zeros(count, candidates.dtype)
            padded[: len(part)] = part
            inputs = {contract.ITEMS: items, contract.CANDIDATES: padded}
            found = self._call(contract.RANK_CANDIDATES, inputs)[contract.SCORES].reshape(count)
            scores[start : start + count] = found[: len(part)]
        return scores

    def retrieve(self, items: Array) -> tuple[Array, Array]:
        """The K best items of the whole catalogue by the inner product, after the events `items`, int32 [1, T].

        Returns:
            Rows int32 [K], each once and never 0, and scores float32 [K], best first; of equal ones the smaller row
            first.

        Raises:
            ValueError: a wrong shape or dtype, a row that the item table lacks, or a file without the signature
                (`retrieves`).
        """
        if not self.retrieves:
            raise ValueError("the model file has no signature retrieve: export with export.retrieve above 0")
        outputs = self._call(contract.RETRIEVE, {contract.ITEMS: items})
        return outputs[contract.CANDIDATES].reshape(-1), outputs[contract.SCORES].reshape(-1)

    def _call(self, name: str, inputs: dict[str, Any]) -> dict[str, Array]:
        raise NotImplementedError

    def _signature(self, name: str) -> dict[str, tuple[tuple[int, ...], Any]]:
        raise NotImplementedError
