# SPDX-License-Identifier: Apache-2.0
"""What goes with what this person had: item-kNN on the device, beside the network.

A table of the most similar items of every item is made in the cloud (cosine over users, Sarwar et al., WWW 2001) and
shipped as a file of its own, `NEIGHBOURS_FILE`, where the rehearsal found that it helps. With a_j = events since
event j (0 for the latest) an item's score is raised by

    strength * log(1 + 100 s_i / s_max),    s_i = sum over the events j of  decay^a_j * similarity(item of j, i)

s_max being the largest of all s: an item that is no neighbour of the history gains nothing, and the first one gains 4.6
strength. With a large strength the neighbours alone decide, and the network among those that they rank alike. What is
added is in the unit of the bonus for repeats, which is added after it. A device of a version that does not know the
file serves the network as before. This module knows nothing about models.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from pocketrec.device.base.array import Array
from pocketrec.device.base.errors import BundleError
from pocketrec.device.contract import tensorfile

#: Name of the file in a bundle.
NEIGHBOURS_FILE: Final = "neighbours.tensors"
#: Code of the largest similarity of a row; the least code is 1.
LARGEST: Final = 127
_SHARPNESS: Final = 100.0
_NEGLIGIBLE: Final = 1e-6  # share of the latest event's weight under which older events are passed over


@dataclass(frozen=True)
class Neighbours:
    """The most similar items of N items, and how strongly they count."""

    offsets: Array
    """int64 [N + 2]: row i's neighbours are ``offsets[i]:offsets[i + 1]``; row 0 (unknown) has none."""
    rows: Array
    """Integers [n]: item rows, 1 to N."""
    codes: Array
    """int8 [n], 1 to 127: similarity as a share of the row's scale, times 127."""
    scales: Array
    """float32 [N + 1]: the largest similarity of each row."""
    decay: float
    """Weight of an event relative to the next one, in (0, 1]."""
    strength: float
    """Bonus for each nat of log(1 + 100 s / s_max), above 0."""

    def times(self, strength: float) -> Neighbours:
        """The same with another strength."""
        return replace(self, strength=strength)

    def bonus(self, history: Array) -> tuple[Array, Array]:
        """The bonus after a history.

        Args:
            history: int32 [h] item rows, oldest first, no 0.

        Returns:
            Item rows int32 [m], ascending, each once, and their bonus float32 [m]; all other items have none.
        """
        known = np.asarray(history, np.int64)[-self._reach(len(history)) :]
        counts = self.offsets[known + 1] - self.offsets[known]
        ends = np.cumsum(counts)
        if not len(ends) or not ends[-1]:
            return np.zeros(0, np.int32), np.zeros(0, np.float32)
        places = np.arange(int(ends[-1])) + np.repeat(self.offsets[known] - (ends - counts), counts)
        weight = self.decay ** np.arange(len(known) - 1, -1, -1.0) * self.scales[known]  # (h,)
        items, place = np.unique(self.rows[places], return_inverse=True)
        summed = np.bincount(place, np.repeat(weight, counts) * self.codes[places], minlength=len(items))  # (m,)
        raised = self.strength * np.log1p(_SHARPNESS * summed / summed.max())
        return items.astype(np.int32), raised.astype(np.float32)

    def best(self, history: Array, count: int) -> Array:
        """The `count` items, or fewer, that a history raises most, int32, the most raised first."""
        items, raised = self.bonus(history)
        found: Array = items[np.lexsort((items, -raised))[:count]]
        return found

    def add_to(self, scores: Array, candidates: Array, history: Array) -> Array:
        """Scores float32 [c] of candidate rows int32 [c], raised after a history."""
        items, raised = self.bonus(history)
        if not len(items):
            return scores
        place = np.searchsorted(items, candidates).clip(max=len(items) - 1)
        found: Array = scores + np.where(items[place] == candidates, raised[place], np.float32(0))
        return found

    def to_bytes(self) -> bytes:
        """The content of `NEIGHBOURS_FILE`; equal tables give equal bytes."""
        tensors = {
            "counts": np.diff(self.offsets).astype(np.min_scalar_type(int(np.diff(self.offsets).max(initial=0)))),
            "rows": self.rows.astype(np.min_scalar_type(len(self.scales) - 1)),
            "codes": self.codes.astype(np.int8), "scales": self.scales.astype(np.float32),
        }  # fmt: skip
        return tensorfile.dump(tensors, {"decay": repr(self.decay), "strength": repr(self.strength)})

    @classmethod
    def from_bytes(cls, content: bytes, items: int) -> Neighbours:
        """Read `NEIGHBOURS_FILE`.

        Args:
            content: of the file.
            items: N of the bundle.

        Raises:
            BundleError: the file is damaged, or does not fit the bundle.
        """
        try:
            file = tensorfile.parse(content)
            counts, rows, codes, scales = (file.tensors[name] for name in ("counts", "rows", "codes", "scales"))
            decay, strength = float(file.metadata["decay"]), float(file.metadata["strength"])
            integers = all(one.dtype.kind in "ui" for one in (counts, rows, codes))
            flat = all(one.ndim == 1 for one in (counts, rows, codes, scales))
            sizes = flat and len(counts) == len(scales) == items + 1 and len(rows) == len(codes) == int(counts.sum())
            values = 0 < decay <= 1 and 0 < strength < math.inf and bool(np.isfinite(scales).all())
            inside = not len(rows) or (int(rows.min()) >= 1 and int(rows.max()) <= items and int(codes.min()) >= 1)
            if not (integers and sizes and values and inside) or int(counts.min(initial=0)) < 0 or counts[0]:
                raise ValueError("its arrays do not fit")
        except (tensorfile.TensorFileError, KeyError, ValueError) as error:
            raise BundleError(f"{NEIGHBOURS_FILE} cannot be used ({error}): fetch or export the bundle again") from None
        offsets = np.concatenate([[0], np.cumsum(counts.astype(np.int64))])
        return cls(offsets, rows, codes, scales, decay, strength)

    def _reach(self, events: int) -> int:
        """How many of the latest events count."""
        if self.decay == 1:
            return max(1, events)
        return max(1, min(events, math.ceil(math.log(_NEGLIGIBLE) / math.log(self.decay))))
