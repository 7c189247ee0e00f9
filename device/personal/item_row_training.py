# SPDX-License-Identifier: Apache-2.0
"""Personal item rows (`pocketrec.device.personal.item_rows`) of one history, under the model's present weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pocketrec.device.contract.repeats import gaps_at
from pocketrec.device.personal.item_rows import NONE, ItemRows, Seen
from pocketrec.device.personal.windows import context

if TYPE_CHECKING:
    from pocketrec.device.base.array import Array
    from pocketrec.device.contract.recipe import ItemRowsRecipe
    from pocketrec.device.contract.repeats import Repeats
    from pocketrec.device.engine.model import Model

_FEWEST: Final = 2  # targets held back; with fewer nothing is kept


def item_rows_of(
    model: Model, rows: Array, first_target: int, settings: ItemRowsRecipe, repeats: Repeats, times: Array | None = None
) -> ItemRows:
    """Fit the rows to the latest events, and keep them where events that were held back are more likely with them.

    Args:
        model: with the weights that the user gets.
        rows: int32 [n], the history, oldest first, no 0.
        first_target: index of the first event that may be fitted to.
        settings: how they are fitted.
        repeats: the bonus that the user gets; rows are fitted to what it leaves over.
        times: float64 [n], of the events; None = not known.

    Returns:
        The rows; `NONE` where no gain is seen, or where scores are no inner product.
    """
    if not settings.rate or model.ranks:
        return NONE
    seen = seen_of(model, rows, max(first_target, len(rows) - settings.latest), repeats, times)
    return NONE if seen is None else kept(seen, settings)


def kept(seen: Seen, settings: ItemRowsRecipe) -> ItemRows:
    """The rows that a device keeps."""
    held_back = round(settings.holdback * len(seen))
    return seen.guarded(settings.rate, settings.passes, settings.pull, held_back if held_back >= _FEWEST else 0)


def seen_of(
    model: Model, rows: Array, first_target: int, repeats: Repeats, times: Array | None = None
) -> Seen | None:
    """The targets from `first_target` on, each with the scores of its own time; None where there are none."""
    places = range(max(1, first_target), len(rows))
    parts = [_seen(model, rows, place, repeats, times) for place in places]
    return Seen.join(parts) if parts else None


def _seen(model: Model, rows: Array, place: int, repeats: Repeats, times: Array | None) -> Seen:
    embedded = model.embed(context(rows[:place], model.window))
    scores = model.scores(embedded)  # (N + 1,)
    repeats.add_to_catalogue(scores, rows[:place], None if times is None else gaps_at(times[:place], times[place]))
    return Seen.of(rows, embedded[None], rows[place : place + 1], scores[None])
