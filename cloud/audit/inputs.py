# SPDX-License-Identifier: Apache-2.0
"""What an audit is given, from files: events, negatives, candidates, predictions, item lists, results."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd

from pocketrec.cloud.audit import tables
from pocketrec.cloud.audit.tables import Columns
from pocketrec.device.base.errors import DataError

_NEGATIVE = re.compile(r"\((?P<user>[^,]+),(?P<item>[^)]+)\)")


def read_events(path: Path, columns: Columns, option: str) -> pd.DataFrame:
    """Events: ``user``, ``item`` (text) and, where the file has them, ``time`` (number).

    Args:
        path: the file.
        columns: names given by the user.
        option: of the command line, for messages.

    Raises:
        DataError: the file is missing, unreadable, or has no such columns.
    """
    table = tables.read_table(path, option, "time")
    frame = _ids(table, columns, path, option)
    name = tables.find_column(table, columns.time, tables.TIMES)
    if columns.time and name is None:
        raise tables.no_column(path, columns.time, table, "--time-column")
    if name is not None:
        frame["time"] = tables.to_times(table[name], f"{path}, column {name!r}")
    return frame


def read_scores(path: Path, columns: Columns, option: str, *, needed: bool) -> pd.DataFrame:
    """``user``, ``item`` and, where there is one, ``score`` (float64; NaN and infinity stay).

    Raises:
        DataError: as `read_events`; or there is no score where it is needed.
    """
    table = tables.read_table(path, option, "score")
    frame = _ids(table, columns, path, option)
    name = tables.find_column(table, "", tables.SCORES)
    if name is None and needed:
        raise tables.no_column(path, "score", table, "a column score in the file")
    if name is not None:
        texts = tables.texts_of(table[name])
        frame["score"] = pd.to_numeric(texts, errors="coerce").astype("float64")
        bad = frame["score"].isna() & ~texts.fillna("").str.lower().isin(["nan", "", "none", "null"])
        if bad.any():
            raise DataError(f"{path}: {texts[bad].iloc[0]!r} in column {name!r} is not a number: give numbers")
    return frame


def read_negatives(path: Path, columns: Columns) -> tuple[pd.DataFrame, bool]:
    """``user``, ``item``; and whether they are the evaluation's (NCF's ``(user,item)  negative  negative ...``).

    Raises:
        DataError: as `read_events`.
    """
    head = tables.read_text(path, "--negatives", tables.HEAD).lstrip()
    if not head.startswith("("):
        return read_scores(path, columns, "--negatives", needed=False)[["user", "item"]], False
    users, items = [], []
    for number, line in enumerate(tables.read_text(path, "--negatives").splitlines(), 1):
        if not line.strip():
            continue
        first, *rest = line.split()
        found = _NEGATIVE.fullmatch(first)
        if not found or not rest:
            raise DataError(
                f"{path}, line {number}: not of the form (user,item) negative negative ...: correct the line"
            )
        users += [found["user"].strip()] * len(rest)
        items += rest
    return pd.DataFrame({"user": users, "item": items}, dtype=object), True


def listed_negatives(path: Path, columns: Columns) -> pd.DataFrame | None:
    """``user``, ``item`` of a column ``neg_items`` with a list in every row of a test (ReChorus); None without one.

    Raises:
        DataError: as `read_events`.
    """
    table = tables.read_table(path, "--test", "time")
    name = tables.find_column(table, "", ("neg_items", "negatives", "neg_item"))
    if name is None:
        return None
    frame = _ids(table, columns, path, "--test")[["user"]]
    frame["item"] = tables.texts_of(table[name]).str.findall(r"[^\s,\[\]'\"]+")
    return frame.explode("item").dropna().reset_index(drop=True)


def read_items(path: Path, columns: Columns) -> tuple[list[str], Any, bool]:
    """Items, their counts (None where there are none), and whether they come in a promised order (a bare list).

    Raises:
        DataError: as `read_events`.
    """
    text = "" if tables.is_parquet(path, "--items") else tables.read_text(path, "--items", tables.HEAD)
    lines = [line for line in text.splitlines() if line.strip()]
    if lines and not any(mark in lines[0] for mark in "\t,;"):
        items = [line.strip() for line in tables.read_text(path, "--items").splitlines() if line.strip()]
        if items[0].lower().partition(":")[0] in tables.ITEMS:
            return items[1:], None, False
        return items, None, True
    table = tables.read_table(path, "--items", "score")
    name = tables.find_column(table, columns.item, tables.ITEMS)
    if name is None:
        raise tables.no_column(path, columns.item or "item", table, "--item-column")
    counts = tables.find_column(table, "", ("count", "counts", "popularity"))
    if counts is None:
        return tables.texts_of(table[name]).tolist(), None, False
    numbers = pd.to_numeric(table[counts], errors="coerce")
    if numbers.isna().any():
        raise DataError(f"{path}: column {counts!r} has values that are not numbers: give counts")
    return tables.texts_of(table[name]).tolist(), numbers.to_numpy(), False


def read_results(path: Path) -> tuple[dict[str, float], pd.DataFrame | None]:
    """Reported figures (one JSON object, one row), or a table of trials (several rows).

    Raises:
        DataError: the file is missing or unreadable.
    """
    text = tables.read_text(path, "--results")
    if text.lstrip()[:1] in "{[" and text.strip():
        try:
            content = json.loads(text)
        except ValueError:
            try:
                content = [json.loads(line) for line in text.splitlines() if line.strip()]
            except ValueError as error:
                raise DataError(f"{path} is not JSON ({error}): correct it") from None
        before_cut = False
        if isinstance(content, dict) and isinstance(content.get("trials"), list):
            before_cut = {"format", "key", "system"} <= content.keys()  # of `pocketrec search`, which sees no test
            content = content["trials"]
        table = pd.json_normalize(content)
        if before_cut:
            table = table.add_prefix("validation.")
    else:
        table = tables.read_table(path, "--results", "score")
    if len(table) > 1:
        return {}, table
    numbers = {str(name): pd.to_numeric(table[name], errors="coerce") for name in table}
    figures = {name: float(values.iloc[0]) for name, values in numbers.items() if len(values) and values.notna().all()}
    if not figures:
        example = '{"recall@20": 0.31}'
        raise DataError(f"{path} holds no figure: give an object such as {example}, or a row for each trial")
    return figures, None


def _ids(table: pd.DataFrame, columns: Columns, path: Path, option: str) -> pd.DataFrame:
    found = {}
    for name, given, usual in (("user", columns.user, tables.USERS), ("item", columns.item, tables.ITEMS)):
        column = tables.find_column(table, given, usual)
        if column is None:
            raise tables.no_column(path, given or name, table, f"--{name}-column")
        texts = tables.texts_of(table[column])
        if not len(texts):
            raise DataError(f"{path} has a header and no row: name a file with at least one row for {option}")
        empty = (texts.isna() | (texts == "")).to_numpy(bool)
        if empty.any():
            raise DataError(f"{path}: row {int(empty.argmax()) + 1} has no {name}: correct it")
        if texts.str.fullmatch(r"-?\d+\.0").all():
            texts = texts.str[:-2]  # whole numbers that pandas wrote as floats
        found[name] = texts.astype(object)
    return pd.DataFrame(found)
