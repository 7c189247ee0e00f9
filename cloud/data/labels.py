# SPDX-License-Identifier: Apache-2.0
"""Columns of ids: different texts numbered in the order in which they come, and which of them cannot be an id.

An id is text of one line, not empty, in UTF-8, without NUL bytes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import chain, count
from typing import Final

import numpy as np
import pandas as pd

from pocketrec.cloud.data.log import Labels
from pocketrec.cloud.data.text import NUL

HOLDS_NUL: Final = "holds a NUL byte"
NOT_UTF8: Final = "is not UTF-8 text"
LINE_BREAK: Final = "has a line break in it"
NO_CHARACTER: Final = "has half of a surrogate pair in it, which no file can hold"


class Coder:
    """Numbers different texts in the order in which they come."""

    def __init__(self) -> None:
        self._codes: defaultdict[bytes, int] = defaultdict(count().__next__)

    def codes(self, values: Sequence[bytes]) -> np.ndarray:
        """int32 (len(values) + 1,): the number of each; the last, for place -1, is -1."""
        numbers = self._codes
        return np.fromiter(chain(map(numbers.__getitem__, values), [-1]), np.int32, len(values) + 1)

    def labels(self, codes: np.ndarray) -> Labels:
        """The column with these numbers."""
        raw = list(self._codes)
        joined = b"\n".join(raw)
        if joined.count(b"\n") == max(len(raw) - 1, 0) and b"\r" not in joined and b"\0" not in joined:
            try:  # all at once, as almost every log allows
                return Labels(_objects(joined.decode("utf-8").split("\n") if raw else []), codes)
            except UnicodeDecodeError:
                pass
        values, faults = [], {}
        for place, value in enumerate(raw):
            text, why = _text(value)
            values.append(text)
            if why:
                faults[place] = why, (text or value.replace(NUL, b"\0").decode("utf-8", "backslashreplace"))
        return Labels(_objects(values), codes, faults)


def labels_of(values: Sequence[str], codes: np.ndarray) -> Labels:
    """A column of texts that are decoded already."""
    faults = {}
    joined = "\n".join(values)
    if joined.count("\n") != max(len(values) - 1, 0) or "\r" in joined or "\0" in joined or not _encodable(joined):
        faults = {place: (why, value) for place, value in enumerate(values) if (why := _fault(value))}
    return Labels(_objects(values), codes, faults)


def to_labels(column: pd.Series, raw: bool) -> Labels:
    """A column as text; empty fields have code -1, and texts that are not UTF-8 are empty in `values`.

    Args:
        column: the texts (or, from Parquet, any values).
        raw: the texts hold bytes as characters, as `parse_rows` gives them.
    """
    if not isinstance(column.dtype, pd.CategoricalDtype):
        if column.dtype.kind == "f" and (column.dropna() % 1 == 0).all():
            column = column.astype("Int64")  # whole numbers that have gaps
        column = column.astype("string").astype("category")
    texts = [str(value) for value in column.cat.categories]
    codes = column.cat.codes.to_numpy().astype(np.int32)
    if not raw:
        return labels_of(texts, codes)
    coder = Coder()
    coder.codes([text.encode("latin-1") for text in texts])
    return coder.labels(codes)


def usable(column: Labels) -> np.ndarray:
    """bool (n,): which texts can be an id."""
    if not column.faults:
        if "" not in column.values:
            return column.codes >= 0
        return (column.codes >= 0) & (column.codes != int(np.flatnonzero(column.values == "")[0]))
    good = column.values != ""
    good[list(column.faults)] = False
    return np.append(good, False)[column.codes]


def _objects(values: Sequence[str]) -> np.ndarray:
    objects = np.empty(len(values), dtype=object)
    objects[:] = values
    return objects


def _text(raw: bytes) -> tuple[str, str]:
    """The text of some bytes, empty where they are none, and why it cannot be an id."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return "", HOLDS_NUL if NUL in raw else NOT_UTF8
    return text, _fault(text)


def _fault(text: str) -> str:
    """Why a text cannot be an id; empty where it can, or where there is no text."""
    if "\n" in text or "\r" in text:
        return LINE_BREAK
    if "\0" in text:
        return HOLDS_NUL
    return "" if _encodable(text) else NO_CHARACTER


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
