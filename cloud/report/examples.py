# SPDX-License-Identifier: Apache-2.0
"""Example users of report.html: what they had, and what each system offers them next, by title.

The page names no user; whom it shows is chosen by the gain alone: who gains most, who is in the middle of those whose
ranks change, who loses most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

import numpy as np

from pocketrec.cloud.evaluation.systems import name_of
from pocketrec.cloud.report import page
from pocketrec.cloud.report.words import change as written

Table = Mapping[str, Any]

_SYSTEMS: Final = ("global", "personal", "item_knn")


def examples(users: Sequence[Table], names: Sequence[str]) -> str:
    """A table for each of up to three users; empty where the run kept no lists, or there are no personal ones.

    Args:
        users: lines of users.jsonl, ranks as arrays.
        names: what to call each item row, row 1 first.
    """
    known = [user for user in users if "personal" in user.get("example", {})]
    if not known or not names:
        return ""
    gains = np.array([_gain(user) for user in known])
    order = np.argsort(-gains, kind="stable")
    moved = order[gains[order] != 0]
    chosen = {" (personal training changes no rank)": order[0]}
    if len(moved):
        chosen = {" who gains most": order[0], " in the middle of those whose ranks change": moved[len(moved) // 2],
                  " who loses most": order[-1]}  # fmt: skip
    parts, seen = [], set()
    for words, place in chosen.items():
        if int(place) in seen or (place == order[-1] and len(moved) and gains[place] >= 0):
            continue
        seen.add(int(place))
        events = len(known[place]["ranks"]["global"])
        told = f"A user{words}: {written(float(gains[place]))} in MRR@20 over {events} event{'s'[: events > 1]}"
        parts.append(page.heading(told) + _table(known[place], names))
    words = (
        "What a device has of its user right before the first test event, and the five items that each system offers "
        "then. The item that the user took next is in bold."
    )
    return page.section("Example users", words, "".join(parts))


def _table(user: Table, names: Sequence[str]) -> str:
    shown = user["example"]
    systems = [name for name in _SYSTEMS if name in shown]
    columns = [shown["had"], *(shown[name] for name in systems)]
    rows = []
    for place in range(max(map(len, columns))):
        cells = [_cell(column[place], names, 0 if not number else shown["next"]) if place < len(column) else ""
                 for number, column in enumerate(columns)]  # fmt: skip
        rows.append([f"{place + 1}", *cells])
    head = ["", "had, the latest first", *(name_of(name).split(",")[0] for name in systems)]
    after = f'<p class="soft">Next: {_cell(shown["next"], names, 0)}</p>'
    return f'<div class="lists">{page.table(head, rows)}</div>{after}'


def _cell(row: int, names: Sequence[str], taken: int) -> str:
    name = escape(names[row - 1] if 0 < row <= len(names) else "?")
    return f"<b>{name}</b>" if row == taken else name


def _gain(user: Table) -> float:
    own, others = (np.asarray(user["ranks"][name], float) for name in ("personal", "global"))
    return float(np.where(own <= 20, 1 / own, 0.0).mean() - np.where(others <= 20, 1 / others, 0.0).mean())
