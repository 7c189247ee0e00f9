# SPDX-License-Identifier: Apache-2.0
"""Making tasks: from the rows of a log, from files of source,,targets, and from a column of users.

Which users are in which part is decided once for all tasks of a log, so that a test user of one task trains no other.
A task's targets are known as a catalogue is: every item that anybody chose in it has a row. Who chose it is not: the
order of rows, and all that trains, is of training users. This module knows nothing about models.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.config.transfer import SplitShares, TaskConfig, TransferRun
from pocketrec.cloud.data.log import Log
from pocketrec.cloud.data.readers import read_log
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.data.vocabulary import Vocabulary, build_vocabulary
from pocketrec.cloud.transfer.inputs import beside_log
from pocketrec.cloud.transfer.lists import Line, read_lists, read_sources
from pocketrec.cloud.transfer.rows import PARTS, Rows, Task, assert_disjoint
from pocketrec.device.base.errors import ConfigError, DataError

_STREAM: Final = 21  # of the generator that splits users
_NO_SOURCE: Final = "no source event before the target"
_UNKNOWN: Final = "no source item that the backbone knows"
_NO_CLASS: Final = "no class, or no source event"


@dataclass(frozen=True)
class Source:
    """What the backbone is pretrained on."""

    sequences: Sequences
    """Source events of all users; rows of the vocabulary."""
    vocabulary: Vocabulary
    """Items of the backbone."""


@dataclass(frozen=True)
class _Found:
    """Rows of a task before the split: targets as text."""

    users: list[str]
    windows: NDArray[np.int32]
    targets: list[str]
    left_out: dict[str, int]


def read_source(config: TransferRun, progress: Progress = no_progress) -> Source:
    """Read what the backbone is pretrained on.

    Raises:
        DataError: the log or the file cannot be read, or nothing is in it.
    """
    source = config.transfer.source
    if source.path:
        lines = read_sources(Path(source.path))
        items = [item for line in lines for item in line.source]
        ids, codes = np.unique(np.array(items, dtype=object), return_inverse=True)
        users = np.array([f"{number:09d}" for number in range(len(lines))], dtype=object)
        owner = np.repeat(np.arange(len(lines)), [len(line.source) for line in lines])
        return _source(users, owner, ids, codes, np.arange(len(items)), config.data.min_item_count)
    log = read_log(replace(config.data, keep={**config.data.keep, **source.keep}), progress=progress)
    return _source(log.users.values, log.users.codes, log.items.values, log.items.codes, log.timestamps,
                   config.data.min_item_count)  # fmt: skip


def make_task(config: TransferRun, name: str, source: Source, progress: Progress = no_progress) -> tuple[Task, Rows]:
    """Read and split one task; the task, and its test rows.

    Raises:
        DataError: the file or the log cannot be read, a part is empty, there is one class only, or no line has an item
            that the backbone knows.
        ConfigError: a task of rows of the log, and a source that is a file.
    """
    task, window = config.transfer.task[name], config.model.window
    if task.kind == "profile":
        classes = read_classes(beside_log(config.data, task.path), task)
        known = source.sequences.users.tolist()
    elif task.path:
        found = _from_lists(read_lists(Path(task.path)), source, window)
        known = found.users
    else:
        if config.transfer.source.path:
            raise ConfigError(f"[transfer.task.{name}] keep: its rows are of the log, and [transfer.source] names a "
                              "file: name a file of source,,targets too, or let both be of the log")  # fmt: skip
        found = _from_log(_targets(config, name, progress), source, window)
        known = source.sequences.users.tolist()
    parts = split_users(known, config.transfer.split, config.seed)
    if task.kind == "profile":
        training = {user for user, part in parts.items() if part == "train"}
        found = _from_classes(classes, source, window, config.transfer.windows, training)
    return _split(name, task, found, parts)


def _targets(config: TransferRun, name: str, progress: Progress) -> Log:
    """The rows of the log that are a task's targets."""
    keep = config.transfer.task[name].keep
    try:
        return read_log(replace(config.data, keep={**config.data.keep, **keep}), progress=progress)
    except DataError as error:
        raise DataError(str(error).replace("data.keep", f"data.keep and transfer.task.{name}.keep")) from None


def split_users(users: Iterable[str], shares: SplitShares, seed: int) -> dict[str, str]:
    """User id -> part; equal seeds and users give equal parts, in whatever order the users come."""
    ids = sorted(set(users))
    order = np.random.default_rng([seed, _STREAM]).permutation(len(ids))
    test, validation = (round(share * len(ids)) for share in (shares.test, shares.validation))
    names = ["test"] * test + ["validation"] * validation
    names += ["train"] * (len(ids) - len(names))
    return {ids[place]: name for place, name in zip(order.tolist(), names, strict=True)}


def read_classes(path: Path, task: TaskConfig) -> dict[str, str]:
    """User id -> class, of a CSV file with a header line; users without a class are left out.

    Raises:
        DataError: the file is missing or unreadable, or lacks a column.
    """
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
        text = content.decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise DataError(f"cannot read {path} ({reason}): name a CSV file of users with task.path") from None
    rows = csv.DictReader(io.StringIO(text))
    for column in (task.user, task.column):
        if column not in (rows.fieldnames or ()):
            raise DataError(f"{path} has no column {column!r}: it has {', '.join(rows.fieldnames or ()) or 'none'}")
    return {row[task.user]: row[task.column] for row in rows if row[task.user] and row[task.column]}


def windows_of(sequences: Sequences, users: NDArray[np.int64], counts: NDArray[np.int64], window: int) -> NDArray[Any]:
    """int32 (n, T): for each of n users, by place, the latest T of its first `counts` events, padded at the end."""
    lengths = np.minimum(counts, window)
    steps = np.arange(window)
    places = (sequences.offsets[users] + counts - lengths)[:, None] + steps
    inside = steps < lengths[:, None]
    return np.where(inside, sequences.items[np.where(inside, places, 0)], 0).astype(np.int32)


def _source(users: Any, owner: Any, ids: Any, codes: Any, times: Any, least: int) -> Source:
    vocabulary, _, row_of = build_vocabulary(ids, codes, times, least)
    rows = row_of[codes]
    kept = rows > 0
    if not kept.any():
        raise DataError("nothing to pretrain on: no event is left; see [transfer.source] and data.min_item_count")
    return Source(Sequences.build(users, owner[kept], rows[kept], times[kept]), vocabulary)


def _from_log(log: Log, source: Source, window: int) -> _Found:
    """A row for each target event, with the user's source events strictly before it."""
    sequences = source.sequences
    place = sequences.find_all(log.users.values)[log.users.codes]  # (n,) of each target's user
    known = np.flatnonzero(place >= 0)
    order = known[np.lexsort((log.timestamps[known], place[known]))]
    counts = np.zeros(len(order), np.int64)
    owners = place[order]
    for user in np.unique(owners).tolist():
        mine = owners == user
        counts[mine] = np.searchsorted(sequences.of(user)[1], log.timestamps[order[mine]], side="left")
    kept = counts > 0
    windows = windows_of(sequences, owners[kept], counts[kept], window)
    items = log.items.values[log.items.codes[order[kept]]].tolist()
    return _Found(sequences.users[owners[kept]].tolist(), windows, items, _left({_NO_SOURCE: len(log) - len(items)}))


def _from_lists(lines: Sequence[Line], source: Source, window: int) -> _Found:
    """A row for each target of each line; a line is a user."""
    users, windows, targets, unknown = [], [], [], 0
    for number, line in enumerate(lines):
        rows = source.vocabulary.rows(line.source)
        rows = rows[rows > 0][-window:]
        if not len(rows):
            unknown += len(line.targets)
            continue
        padded = np.zeros(window, np.int32)
        padded[: len(rows)] = rows
        for target in line.targets:
            users.append(f"{number:09d}")
            windows.append(padded)
            targets.append(target)
    if not users:
        raise DataError("the backbone knows no source item of the task's file: both files must name items alike")
    return _Found(users, np.stack(windows), targets, _left({_UNKNOWN: unknown}))


def _from_classes(
    classes: dict[str, str], source: Source, window: int, most: int, training: set[str]
) -> _Found:
    """The latest window of each user; of training users up to `most` of them, one before the other."""
    sequences = source.sequences
    places, counts = [], []
    for place, (user, length) in enumerate(zip(sequences.users.tolist(), sequences.lengths.tolist(), strict=True)):
        if user in classes:
            ends = range(length, 0, -window)[: most if user in training else 1]
            places += [place] * len(ends)
            counts += list(ends)
    if not places:
        raise DataError("no user of the log has a class: the log and the file of users must name users alike")
    users = sequences.users[places].tolist()
    windows = windows_of(sequences, np.array(places), np.array(counts), window)
    left_out = _left({_NO_CLASS: len(sequences) - len(set(places))})
    return _Found(users, windows, [classes[user] for user in users], left_out)


def _left(counts: dict[str, int]) -> dict[str, int]:
    return {why: count for why, count in counts.items() if count}


def _split(name: str, task: TaskConfig, found: _Found, parts: dict[str, str]) -> tuple[Task, Rows]:
    """Rows by part, and targets numbered by their count among training users (then by id)."""
    if task.kind == "profile" and len(set(found.targets)) < 2:
        what = f"class, {found.targets[0]!r}" if found.targets else "class"
        raise DataError(f"[transfer.task.{name}] has one {what}: a profile needs two classes or more")
    if not found.targets:
        raise DataError(f"[transfer.task.{name}] has no target with a source event before it: see its keep, and "
                        "[transfer.source]")  # fmt: skip
    part = np.array([parts[user] for user in found.users], dtype=object)
    trained = Counter(target for target, where in zip(found.targets, part, strict=True) if where == "train")
    ids = sorted(set(found.targets), key=lambda target: (-trained[target], target))
    if len(ids) < 2:
        raise DataError(f"[transfer.task.{name}] has one target, {ids[0]!r}: there is nothing to choose from")
    row_of = {target: row for row, target in enumerate(ids, 1)}
    rows = Rows(np.array(found.users, dtype=object), found.windows,
                np.fromiter((row_of[target] for target in found.targets), np.int32))  # fmt: skip
    split = {where: rows.take(part == where) for where in PARTS}
    for where, chosen in split.items():
        if not len(chosen):
            raise DataError(f"[transfer.task.{name}] has no {where} users, of {len(set(found.users))} in all: "
                            "use a larger log, or other shares in [transfer.split]")  # fmt: skip
    assert_disjoint(split)
    training = [user for user in parts if parts[user] == "train"]  # in the random order of the split
    having = set(split["train"].users.tolist())
    order = [user for user in training if user in having]
    return Task(name, task.kind, ids, split["train"], split["validation"], order, found.left_out), split["test"]
