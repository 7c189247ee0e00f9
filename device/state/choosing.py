# SPDX-License-Identifier: Apache-2.0
"""Which items a device ranks, before anything is scored: of the whole catalogue, of the bundle's candidates, of a list.

The whole catalogue is searched by the file's own signature, which gives K items. Where a filter, or seen items that are
left out, leave fewer of these than are wanted, numpy searches the rest over the same pages: a filter never empties a
recommendation as long as the catalogue has items that pass it. This module changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from pocketrec.device.base.errors import DataError
from pocketrec.device.engine.list_scan import best_of_lists
from pocketrec.device.personal.served import served_set
from pocketrec.device.personal.windows import context

if TYPE_CHECKING:
    from pocketrec.device.base.array import Array
    from pocketrec.device.contract.retrieval import Retrieval
    from pocketrec.device.contract.vocabulary import Vocabulary
    from pocketrec.device.delivery.bundle import Bundle
    from pocketrec.device.engine.model import Model
    from pocketrec.device.state.session import Session

#: Item ids that may be recommended, or a function of an item id that says whether it may.
Filter: TypeAlias = Collection[str] | Callable[[str], bool]


class Allowed:
    """A filter over the rows of a vocabulary.

    Args:
        given: the filter; None = everything passes.
        vocabulary: of the bundle.

    Raises:
        DataError: it is neither a list of item ids nor a function.
    """

    def __init__(self, given: Filter | None, vocabulary: Vocabulary) -> None:
        self._vocabulary, self._holds = vocabulary, given if callable(given) else None
        self._rows: Array | None = None
        if given is not None and self._holds is None:
            if isinstance(given, str | bytes) or not isinstance(given, Collection):
                raise DataError("filter must be a list of item ids, or a function of an item id: give one of these")
            if not all(isinstance(item, str) for item in given):
                raise DataError("filter holds an item id that is not a string: give item ids as they are in the log")
            rows = np.unique(vocabulary.rows(given))
            self._rows = rows[rows > 0]

    @property
    def all(self) -> bool:
        """Whether everything passes."""
        return self._holds is None and self._rows is None

    def keep(self, rows: Array) -> Array:
        """Those of these rows that pass, in their order."""
        if self.all:
            return rows
        if self._rows is not None:
            passes = np.isin(rows, self._rows)
        else:
            passes = np.array([self._holds is None or bool(self._holds(i)) for i in self._ids(rows)], bool)
        kept: Array = rows[passes]
        return kept

    def _ids(self, rows: Array) -> list[str]:
        return self._vocabulary.ids(rows.tolist())

    def rows(self) -> Array:
        """All rows that pass, ascending, int32; a function is asked about every item once."""
        if self._rows is None:
            holds = self._holds
            self._rows = self._vocabulary.where(holds) if holds else np.arange(1, len(self._vocabulary) + 1, dtype="i4")
        return self._rows


def of_the_catalogue(
    session: Session, model: Model | None, history: Array, k: int, mask: bool, allowed: Allowed
) -> Array:
    """Rows to rank from the whole catalogue, each once: at least `k` of them where so many pass.

    Args:
        session: of a bundle whose file has the signature ``retrieve``; its lock is held.
        model: with the weights that search; None where there is no history, and no model is needed.
        history: rows of the user's history, int32 [n]; without any, popular items stand for it.
        k: items wanted.
        mask: leave out items of the history.
        allowed: the filter.
    """
    bundle, told = session.bundle, session.bundle.retrieval
    assert told is not None
    if not len(history):
        popular = allowed.keep(bundle.popular(max(told.k, k)))
        return popular if len(popular) >= k or allowed.all else allowed.rows()[: max(told.k, k)]  # by popularity
    assert model is not None
    window = context(history, model.window)
    retrieved, near = _found(bundle, model, window, told), bundle.neighbours()
    if near is not None:  # what goes with the history is ranked too, whatever the network thinks of it
        retrieved = np.concatenate([retrieved, near.best(history, told.k)])
    rows = allowed.keep(served_set(retrieved, history, mask))
    if len(rows) >= k:
        return rows
    left = None if allowed.all else allowed.rows()
    if mask:
        left = np.setdiff1d(allowed.rows(), history, assume_unique=False)
    found, _ = bundle.item_scan().best(model.embed(window), k, left)
    return allowed.keep(served_set(found, history, mask))


def _found(bundle: Bundle, model: Model, window: Array, told: Retrieval) -> Array:
    """The K items: by the bundle's lists, where it has any that can be used, else by the file's own signature."""
    lists = bundle.item_lists
    if lists is None:
        return model.retrieve(window)[0]
    return best_of_lists(lists, bundle.item_scan(), model.embed(window), told.k, told.probes)[0]
