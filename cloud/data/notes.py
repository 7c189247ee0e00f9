# SPDX-License-Identifier: Apache-2.0
"""What in a log could be meant otherwise than it is read: one line each that says what was done."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import numpy as np

from pocketrec.cloud.data.blocks import Columns
from pocketrec.cloud.data.formats import Layout, printable
from pocketrec.cloud.data.log import Labels
from pocketrec.cloud.data.reasons import LinesOf
from pocketrec.device.base.columns import letters_of

_MISSING = (
    "NaN", "nan", "NAN", "None", "none", "null", "NULL", "Null", "NA", "N/A", "n/a", "<NA>", "NaT", "undefined", "\\N",
)  # fmt: skip
_SPACES = " \t\u00a0\u2003\u3000"
_ALIKE: Final = {
    "user": ("user", "userid", "uid", "customer", "customerid", "visitor", "visitorid", "member", "memberid",
             "reviewerid", "session", "sessionid", "account", "accountid", "client", "clientid"),
    "item": ("item", "itemid", "iid", "product", "productid", "article", "articleid", "movie", "movieid", "asin",
             "sku", "track", "trackid", "song", "songid", "video", "videoid"),
    "timestamp": ("timestamp", "time", "date", "datetime", "ts", "eventtime", "createdat", "unixtime",
                  "unixreviewtime"),
}  # fmt: skip


def column_notes(layout: Layout, columns: Columns) -> list[str]:
    """Other columns that could be the user, item or time; and where no column holds times."""
    found = []
    for key, taken in (("user", columns.user), ("item", columns.item), ("timestamp", columns.time)):
        used = {columns.user, columns.item, columns.time, columns.label, columns.category, *columns.filters}
        if not taken:
            found.append("no column holds times (data.timestamp is empty): the order of the rows is that of time")
            continue
        others = [name for name in layout.columns if name not in used and letters_of(name) in _ALIKE[key]]
        if others:
            shown = ", ".join(map(printable, others[:5]))
            found.append(f"column {printable(taken)} is the {key}; {shown} could be it, too: data.{key} decides")
    return found


def id_notes(name: str, column: Labels, used: np.ndarray | None, lines_of: LinesOf, unit: str) -> list[str]:
    """Ids that look like others, or like no id; all are taken as they are written.

    Args:
        name: of the column.
        column: its values.
        used: int64 (k,), rows that became events, in their order; None = all.
        lines_of: gives the lines of some rows.
        unit: what lines count.
    """
    values = column.values
    joined = "\n" + "\n".join(values) + "\n"
    found: list[str] = []

    def note(words: str, places: Sequence[int], rest: str) -> None:
        chosen = np.isin(column.codes, places)
        rows = np.flatnonzero(chosen) if used is None else used[chosen[used]]
        if len(rows):
            first = printable(str(values[column.codes[rows[0]]]))
            found.append(f"{name} {first!r} in {unit} {lines_of(rows[:1])[0]} {words}: {rest}")

    if any(f"\n{space}" in joined or f"{space}\n" in joined for space in _SPACES):
        spaced = [place for place, value in enumerate(values) if value and value.strip(_SPACES) != value]
        more = f" (so do {len(spaced) - 1:,} other ids)" if len(spaced) > 1 else ""
        note(f"begins or ends with a space{more}", spaced, "kept as written, another id than without")
    if re.search(r"\n-?\d+\.0+\n", joined):
        there = set(values)
        both = [place for place, value in enumerate(values)
                if re.fullmatch(r"-?\d+\.0+", value) and value.partition(".")[0] in there]  # fmt: skip
        if both:
            number = f" (so do {len(both) - 1:,} other ids)" if len(both) > 1 else ""
            whole = str(values[both[0]]).partition(".")[0]
            note(f"stands beside {whole!r}{number}", both, "kept as written, two different ids")
    if any(f"\n{word}\n" in joined for word in _MISSING):
        missing = [place for place, value in enumerate(values) if value in _MISSING]
        note("looks like a missing value", missing, "taken as an id like any other; leave it empty if it is one")
    return found


def time_note(name: str, values: np.ndarray, numbers: bool) -> list[str]:
    """Whole numbers that read as calendar days, such as 20240131."""
    if not numbers or values.dtype.kind != "i" or not len(values):
        return []
    low, high = int(values.min()), int(values.max())
    if not (low >= 19000101 and high <= 21001231):
        return []
    days, months = values % 100, values // 100 % 100
    if not ((days >= 1) & (days <= 31) & (months >= 1) & (months <= 12)).all():
        return []
    return [f'{name} has numbers such as {low}, taken as numbers: data.time_format = "%Y%m%d" reads them as days']
