# SPDX-License-Identifier: Apache-2.0
"""Candidate sets that another program has made: a file of user, item and score.

Read as logs are, with the score in the place of the time: CSV, TSV or Parquet, packed or not, ids as text. This module
does not look at events, but to leave out seen items where that is asked for.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from pocketrec.cloud.candidates.popularity import popular_unseen
from pocketrec.cloud.candidates.sets import Candidates, popular_rows
from pocketrec.cloud.candidates.source import Past
from pocketrec.cloud.config.candidates import FileOptions
from pocketrec.cloud.config.data import DataConfig
from pocketrec.cloud.data.location import log_identity
from pocketrec.cloud.data.log import Log
from pocketrec.cloud.data.readers import find_columns, read_log
from pocketrec.device.base.errors import ConfigError, DataError


class FileCandidates:
    """The K items of highest score in a file; popular ones for users without a row in it."""

    def build(self, options: FileOptions, k: int, past: Past) -> Candidates:
        """See `CandidateSource.build`.

        Raises:
            DataError: the file cannot be read, or none of its rows names a user and an item that are known.
            ConfigError: the ids of the items were not given.
        """
        if past.vocabulary is None:
            raise ConfigError("candidates from a file want the ids of the items: set Past.vocabulary")
        log = _read(options, past)
        users = _user_places(log, past)
        row_of = {item: row for row, item in enumerate(past.vocabulary.ids, start=1)}
        rows = np.array([row_of.get(item, 0) for item in log.items.values], np.int64)[log.items.codes]
        known = (users >= 0) & (rows > 0)
        _tell(options, log, users, rows, past)
        if not known.any():
            raise DataError(
                f"{options.path}: none of its {len(log)} rows names a user and an item that the log has before the "
                f"cut-off: are {options.user} and {options.item} the ids of the log?"
            )
        best = _best(users[known], rows[known], log.timestamps[known], k, past)
        return Candidates(past.before.users, best, popular_rows(past.items, k))


def identity(options: FileOptions) -> Any:
    """Size and time of change of the file, or of each of its parts, and its columns.

    Raises:
        DataError: it is not there, or a column is missing.
    """
    path = Path(options.path).expanduser()
    if not path.exists():
        raise DataError(f"no file {path}: correct candidates.file.path")
    try:
        find_columns(_as_log(options))
        return log_identity(_as_log(options))
    except DataError as error:
        raise _told(options, error) from None


def _as_log(options: FileOptions) -> DataConfig:
    return DataConfig(path=str(Path(options.path).expanduser()), user=options.user, item=options.item,
                      timestamp=options.score, max_bad_share=1.0)  # fmt: skip


def _read(options: FileOptions, past: Past) -> Log:
    identity(options)
    try:
        log = read_log(_as_log(options), progress=past.progress)
    except DataError as error:
        raise _told(options, error) from None
    if log.report.bad:
        past.say(f"{options.path}: rows left out: {log.report.bad} that cannot be read")
    return log


def _told(options: FileOptions, error: DataError) -> DataError:
    """An error of the readers in the words of ``[candidates.file]``."""
    text = str(error)
    missing = re.search(r"has no column '.*?' \(.*?\): set data\.(user|item|timestamp) ", text)
    if missing:
        key = {"timestamp": "score"}.get(missing[1], missing[1])
        text = f"{text[: missing.start(1) - len('data.')]}candidates.file.{key} to the name of a column"
    text = re.sub(r"\bdata\.(user|item|path)\b", r"candidates.file.\1", text)
    text = text.replace("data.timestamp", "candidates.file.score")
    text = re.sub(r"it has no event: name another log|name a log with at least one event",
                  "it has no row with a user, an item and a score: name another file", text)  # fmt: skip
    return DataError(text)


def _user_places(log: Log, past: Past) -> np.ndarray:
    """int64 (n,): place of each row's user among those before the cut-off, -1 where it has none."""
    return np.asarray(past.before.find_all(log.users.values), np.int64)[log.users.codes]


def _tell(options: FileOptions, log: Log, users: np.ndarray, rows: np.ndarray, past: Past) -> None:
    """Lines about what is left out, and about users without a row."""
    strangers = np.unique(log.users.codes[users < 0])
    new_items = np.unique(log.items.codes[rows == 0])
    for what, codes, left_out in (("users", strangers, users < 0), ("items", new_items, rows == 0)):
        if len(codes):
            past.say(f"{options.path}: rows left out: {int(left_out.sum())} of {what} that the log does not have "
                     f"before the cut-off (number of {what}: {len(codes)})")  # fmt: skip
    with_row = len(np.unique(users[(users >= 0) & (rows > 0)]))
    if with_row < len(past.before):
        past.say(f"{options.path}: {len(past.before) - with_row} of {len(past.before)} users have no row and get "
                 "popular items")  # fmt: skip


def _best(users: np.ndarray, rows: np.ndarray, scores: np.ndarray, k: int, past: Past) -> np.ndarray:
    """int32 (U, k): each user's rows of highest score, each once (equal scores: more popular first), padded with 0."""
    order = np.lexsort((rows, -scores, users))
    users, rows = users[order], rows[order]
    _, first = np.unique(users * np.int64(past.items + 1) + rows, return_index=True)
    kept = np.zeros(len(users), bool)
    kept[first] = True  # of a pair that stands there twice, the place with the higher score
    users, rows = users[kept], rows[kept]
    best = np.zeros((len(past.before), k), np.int32)
    begins = np.searchsorted(users, np.arange(len(past.before) + 1))
    for user in range(len(past.before)):
        seen = past.before.of(user)[0] if past.mask_seen else np.zeros(0, np.int64)
        own = rows[begins[user] : begins[user + 1]]
        if not len(own):
            best[user] = popular_unseen(seen, past.items, k)
            continue
        own = own[~np.isin(own, seen)][:k] if past.mask_seen else own[:k]
        best[user, : len(own)] = own
    return best
