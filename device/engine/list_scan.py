# SPDX-License-Identifier: Apache-2.0
"""Retrieval by lists in numpy: only the items of those lists are looked at whose centroids the user is nearest to.

What is found is approximate; the exporter ships lists only where they reach the recall asked for on the very table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pocketrec.device.base.array import Array
from pocketrec.device.engine.retrieve import BLOCK, largest
from pocketrec.device.engine.scores import inner_product

if TYPE_CHECKING:
    from pocketrec.device.contract.lists import Lists
    from pocketrec.device.engine.retrieve import ItemScan


def best_of_lists(lists: Lists, scan: ItemScan, user: Array, k: int, probes: int) -> tuple[Array, Array]:
    """The `k` best items of the `probes` lists of largest <centroid, user>, best first; of more lists, where these hold
    fewer than `k`.

    Args:
        lists: from `pocketrec.device.contract.lists.parse_lists`.
        scan: the item table, for lists without a copy of their rows.
        user: user embedding, float32 [E].
        k: items wanted; fewer come back where there are fewer.
        probes: lists to look into.

    Returns:
        Rows int32 and scores float32; of equal scores the smaller row first.
    """
    near = inner_product(user, lists.centroids.astype(np.float32))  # (L,)
    chosen = np.argsort(-near, kind="stable")
    length = float(np.sqrt(inner_product(user, user[None])[0]))
    best, values, floor = np.empty(0, np.int32), np.empty(0, np.float32), -np.inf
    for place, one in enumerate(chosen.tolist()):
        if place >= probes and len(best) >= k:
            break
        if length * float(lists.bounds[one]) <= floor:  # none of this list can exceed the k-th best
            continue
        end = int(lists.offsets[one + 1])
        for begin in range(int(lists.offsets[one]), end, BLOCK):
            part = slice(begin, min(begin + BLOCK, end))
            rows = lists.rows[part]
            if lists.numbers is None or lists.scales is None:
                scores = scan.scores(user, rows)
            else:
                scores = inner_product(user, lists.numbers[part].astype(np.float32)) * lists.scales[part]
            places = np.flatnonzero(scores >= floor)
            if len(places):
                found = np.concatenate([best, rows[places].astype(np.int32)])
                best, values = largest(found, np.concatenate([values, scores[places]]), k)
                floor = values[-1] if len(values) == k else -np.inf
    return best, values
