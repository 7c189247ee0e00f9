# SPDX-License-Identifier: Apache-2.0
"""What a log is, read off the log: its columns, times, sessions or users, repeats, categories and size.

The first lines name the columns; all else is looked at in the events that will lie before the cut-off, so that nothing
later shapes a run. Where the names leave a choice, nothing is guessed: one line asks. This module knows nothing about
models; `pocketrec.cloud.config.presets` says what suits a kind of log.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.config.data import DataConfig
from pocketrec.cloud.config.load import config_from_dict
from pocketrec.cloud.config.split import SplitConfig
from pocketrec.cloud.data.clock import Clock, clock_of
from pocketrec.cloud.data.formats import Layout, printable, sniff
from pocketrec.cloud.data.location import find_log
from pocketrec.cloud.data.log import Log
from pocketrec.cloud.data.parquet import parquet_columns
from pocketrec.cloud.data.readers import read_log
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.device.base.columns import SESSION_NAMES, TIME_NAMES, USER_NAMES, letters_of
from pocketrec.device.base.errors import DataError

#: Kinds of logs, for which there are presets.
SESSIONS, REPEATS, FRESH = "sessions", "repeats", "fresh"

_QUANTILE: Final = SplitConfig().quantile
_FEW_REPEATS: Final = 0.01  # share of events that repeat an item of the same user, under which seen items are masked
_FEW_RETURN: Final = 0.1  # share of later ids that were there before, under which ids are sessions
_SESSION_SECONDS: Final = 6 * 3600.0  # and in which the median id has all its events
_START: Final = 0.02  # share of the span in which all users begin, where each has times of its own

#: Key of ``[data]`` -> names of columns that may be it, lower case, letters alone.
_NAMES: Final[dict[str, frozenset[str]]] = {
    "user": USER_NAMES,
    "session": SESSION_NAMES,
    "item": frozenset(("item", "itemid", "iid", "product", "productid", "sku", "article", "articleid", "asin", "movie",
                       "movieid", "track", "trackid", "song", "songid", "video", "videoid", "book", "bookid", "isbn",
                       "goods", "goodsid", "offer", "offerid", "content", "contentid", "news", "newsid", "parentasin",
                       "stockcode", "listing", "listingid", "game", "gameid")),
    "timestamp": TIME_NAMES,
    "category": frozenset(("category", "categoryid", "categorycode", "itemcategory", "productcategory", "department",
                           "departmentid", "aisle", "aisleid", "genre", "genreid")),
}  # fmt: skip
_SPLIT: Final = frozenset(("split", "subset", "fold"))
_PARTS: Final = frozenset(("train", "training", "test", "valid", "validation"))


@dataclass(frozen=True)
class Detected:
    """What was found."""

    kind: str
    """SESSIONS (ids never come back), REPEATS (people take the same item again) or FRESH (nearly nobody does)."""
    tables: dict[str, dict[str, Any]]
    """Tables ``data``, ``split`` and ``evaluate`` of a configuration."""
    lines: list[str]
    """The same in words."""
    items: int
    """Items before the cut-off."""
    events: int
    """Events before the cut-off."""


def detect(path: str | Path, given: Mapping[str, Any], progress: Progress = no_progress) -> Detected:
    """Find out what a log is.

    Args:
        path: a file, or a folder of Parquet files or of a data set.
        given: what is known of ``[data]``: keys that are taken as they stand, such as ``user``.
        progress: called with the bytes of the file that are read.

    Raises:
        DataError: the file cannot be read, or its columns leave a choice: the message asks for a key.
        ConfigError: a key of `given` is unknown.
    """
    path = Path(path).expanduser()
    known = config_from_dict({"data": {"path": str(path), **given}}).data
    found = find_log(known)
    layout = sniff(found, known)
    columns = [name for name in (parquet_columns(found) if layout.format == "parquet" else layout.columns) if name]
    chosen = _columns(columns, layout, given, path)
    config = config_from_dict({"data": {"path": str(path), **given, **chosen}}).data
    label = next((name for name in columns if letters_of(name) in _SPLIT), None)
    log = read_log(config, label, progress=progress)
    return _described(log, config, label, path)


def _columns(columns: Sequence[str], layout: Layout, given: Mapping[str, Any], path: Path) -> dict[str, str]:
    """The keys of ``[data]`` that name columns."""
    alike = {key: [name for name in columns if letters_of(name) in names] for key, names in _NAMES.items()}
    for key in ("user", "item", "timestamp"):
        alike[key] = [key] if key in columns else alike[key]  # the very name that a configuration has by default
    if not alike["user"]:
        alike["user"] = alike["session"]
    chosen = {key: _one(key, alike[key], columns, path) for key in ("user", "item", "timestamp") if key not in given}
    taken = {*chosen.values(), *(str(given.get(key)) for key in ("user", "item", "timestamp"))}
    categories = [name for name in alike["category"] if name not in taken]
    if categories and "category" not in given:
        chosen["category"] = categories[0]
    return chosen


def _one(key: str, found: Sequence[str], columns: Sequence[str], path: Path) -> str:
    """The only column that can be it.

    Raises:
        DataError: there are several, or none.
    """
    if len(found) == 1:
        return found[0]
    shown = ", ".join(map(printable, (found or columns)[:12]))
    order = ", or --set data.timestamp= where the rows are in the order of time" if key == "timestamp" else ""
    what = {"user": "the user", "item": "the item", "timestamp": "the time"}[key]
    if found:
        raise DataError(f"{path} has several columns that could be {what} ({shown}): "
                        f"say which with --set data.{key}=COLUMN")  # fmt: skip
    raise DataError(f"{path} has no column that is called like {what} (its columns: {shown}): "
                    f"say which it is with --set data.{key}=COLUMN{order}")  # fmt: skip


def _described(log: Log, config: DataConfig, label: str | None, path: Path) -> Detected:
    own = _own_split(log, label)
    early = ~own if own is not None else _first(log)
    clock = clock_of(_sequences(log, early))
    sessions = _are_sessions(log, early, clock, letters_of(config.user) in _NAMES["session"], own)
    repeated = _repeated(log, early)
    fresh = repeated < _FEW_REPEATS
    kind = SESSIONS if sessions else FRESH if fresh else REPEATS
    split: dict[str, Any] = {}
    if own is not None and label is not None and sessions:
        split = {"kind": "column", "column": label, "test_values": ["test"], "anonymous": True}
    elif sessions:
        split = {"kind": "sessions"}
    elif not clock.unit and _begin_together(log, early):
        split = {"kind": "per_user"}
    data = {key: getattr(config, key) for key in ("path", "user", "item", "timestamp", "category")}
    for field in dataclasses.fields(DataConfig):
        value = getattr(config, field.name)
        if field.name not in data and field.name != "set" and value not in (field.default, {}):
            data[field.name] = value
    if not data["category"]:
        del data["category"]
    items, events = len(np.unique(log.items.codes[early])), int(early.sum())
    tables = {"data": {**data, "path": str(path)}, "split": split, "evaluate": {"mask_seen": fresh}}
    lines = _lines(log, config, clock, kind, split, repeated)
    return Detected(kind, tables, lines, items, events)


def _lines(log: Log, config: DataConfig, clock: Clock, kind: str, split: Mapping[str, Any],
           repeated: float) -> list[str]:  # fmt: skip
    who = "sessions" if kind == SESSIONS else "users"
    columns = [f"{config.user} is the {who[:-1]}", f"{config.item} the item"]
    columns.append(f"{config.timestamp} the time" if config.timestamp else "the order of the rows the time")
    if config.category:
        columns.append(f"{config.category} the category")
    users = len(np.unique(log.users.codes))
    units = {1.0: "seconds", 1e3: "milliseconds", 1e6: "microseconds", 1e9: "nanoseconds"}
    dated = " (dates count as such, in UTC)" if clock.unit == 1 else ""
    undated = "periods without a date" if clock.periods else "an order"
    times = f"Unix {units[clock.unit]}{dated}" if clock.unit else undated
    again = {
        SESSIONS: f"ids of {config.user} never come back: sessions, of which the model for all is judged",
        REPEATS: f"{repeated:.0%} of the events repeat an item of the same user: seen items stay in the ranking",
        FRESH: f"nearly nobody takes an item twice ({repeated:.1%} of the events): seen items are left out",
    }[kind]
    cut = {
        "per_user": "each user's last fifth is later than the cut-off, for times begin anew with each user",
        "column": f"column {split.get('column')} parts the log",
        "sessions": "the sessions of the last fifth are the test",
    }.get(str(split.get("kind")), "the last fifth of the events is later than the cut-off")
    return [", ".join(columns), f"{len(log):,} events, {users:,} {who}, {len(np.unique(log.items.codes)):,} items; "
            f"times are {times}", again, cut]  # fmt: skip


def _own_split(log: Log, label: str | None) -> np.ndarray | None:
    """bool (n,): what the log's own split calls test; None where it has none."""
    if label is None or log.labels is None:
        return None
    values = {str(value).lower() for value in log.labels.values}
    if not values <= _PARTS or "test" not in {str(value) for value in log.labels.values}:
        return None
    test = log.labels.isin(["test"])
    return test if 0 < test.sum() < len(log) else None


def _first(log: Log) -> np.ndarray:
    """bool (n,): the events that are about to lie before the cut-off."""
    times = log.timestamps
    early: np.ndarray = times < np.quantile(times, _QUANTILE)
    return early if early.any() else np.ones(len(times), bool)


def _sequences(log: Log, chosen: np.ndarray) -> Sequences:
    items = np.ones(int(chosen.sum()), np.int32)
    return Sequences.build(log.users.values, log.users.codes[chosen], items, log.timestamps[chosen])


def _are_sessions(log: Log, early: np.ndarray, clock: Clock, named: bool, own: np.ndarray | None) -> bool:
    """Whether ids never come back: few of the latest fifth were there before, and each is short where a clock tells."""
    codes, times = log.users.codes[early], log.timestamps[early]
    if own is not None:
        codes_before, codes_after = np.unique(codes), np.unique(log.users.codes[own])
    else:
        cut = np.quantile(times, _QUANTILE)
        codes_before, codes_after = np.unique(codes[times < cut]), np.unique(codes[times >= cut])
    returning = float(np.isin(codes_after, codes_before).mean()) if len(codes_after) else 1.0
    if returning >= _FEW_RETURN and not (named and returning < 0.5):
        return False
    if not clock.unit:
        return named
    first = np.full(len(log.users.values), times.max(), times.dtype)
    last = np.full(len(log.users.values), times.min(), times.dtype)
    np.minimum.at(first, codes, times)
    np.maximum.at(last, codes, times)
    there = np.unique(codes)
    return bool(np.median(last[there] - first[there]) <= _SESSION_SECONDS * clock.unit)


def _repeated(log: Log, early: np.ndarray) -> float:
    """Share of the events whose user had the item before."""
    pairs = log.users.codes[early].astype(np.int64) * len(log.items.values) + log.items.codes[early]
    return 1.0 - len(np.unique(pairs)) / max(1, len(pairs))


def _begin_together(log: Log, early: np.ndarray) -> bool:
    """Whether nearly every user's first event is at the beginning of the span: then times are each user's own."""
    codes, times = log.users.codes, log.timestamps
    first = np.full(len(log.users.values), times.max(), times.dtype)
    np.minimum.at(first, codes, times)
    starts = first[np.unique(codes)]
    span = float(times.max() - times.min())
    return bool(span > 0 and np.quantile(starts, 0.9) - times.min() <= _START * span)
