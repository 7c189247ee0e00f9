# SPDX-License-Identifier: Apache-2.0
"""Anybody's split as `Parts`: the files that the command line names."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketrec.cloud.audit import inputs, tables
from pocketrec.cloud.audit.case import Parts
from pocketrec.device.base.errors import ConfigError

_ENDS = (*(end + packed for end in (".inter", ".csv", ".tsv", ".txt", ".dat", ".rating") for packed in ("", ".gz")),
         ".parquet")  # fmt: skip


@dataclass(frozen=True)
class Files:
    """Files of a split, and what its protocol promises."""

    train: Path | None = None
    test: Path | None = None
    valid: Path | None = None
    negatives: Path | None = None
    candidates: Path | None = None
    predictions: Path | None = None
    items: Path | None = None
    results: Path | None = None
    log: Path | None = None
    columns: tables.Columns = tables.USUAL
    new_items_only: bool = False
    cold_users: bool = False
    session_gap: float | None = None
    seed: int = 1


def benchmark_files(prefix: Path) -> dict[str, Path]:
    """RecBole's ``x.train.inter``, ``x.valid.inter``, ``x.test.inter`` (or .csv, .tsv, ... without x) by part.

    Args:
        prefix: ``folder/x``, or a folder that holds files called train, valid and test.
    """
    found: dict[str, Path] = {}
    folder = prefix if prefix.is_dir() else prefix.parent
    stems = [""] if prefix.is_dir() else [prefix.name + mark for mark in "._-"]
    for part, names in (("train", ("train",)), ("valid", ("valid", "validation", "val", "dev")), ("test", ("test",))):
        for name in names:
            for path in (folder / f"{stem}{name}{end}" for stem in stems for end in _ENDS):
                if path.is_file():
                    found.setdefault(part, path)
    if (path := folder / f"{stems[0]}test.negative").is_file():
        found["negatives"] = path
    return found


def parts_of_files(files: Files) -> Parts:
    """Read them.

    Raises:
        DataError: a file is missing, unreadable, or has no user and item.
        ConfigError: training and test are one file.
    """
    if files.train is None or files.test is None:
        raise ConfigError("a split needs --train and --test")
    if files.train.exists() and files.test.exists() and files.train.samefile(files.test):
        raise ConfigError(f"--train and --test are one file, {files.train}: name two")
    columns = files.columns
    train, test = (inputs.read_events(path, columns, option)
                   for path, option in ((files.train, "--train"), (files.test, "--test")))  # fmt: skip
    notes = []
    if ("time" in train) != ("time" in test):
        notes.append(f"only {files.train if 'time' in train else files.test} has times: they are not looked at")
        train, test = (frame[["user", "item"]] for frame in (train, test))
    listed = inputs.listed_negatives(files.test, columns)
    split = Parts(f"{files.train} and {files.test}", train, test, test_negatives=listed, notes=tuple(notes))
    return with_files(split, files)


def with_files(parts: Parts, files: Files) -> Parts:
    """A split together with what the command line names beside it.

    Raises:
        DataError: a file is missing or unreadable.
    """
    columns, more = files.columns, dict[str, Any]()
    if files.valid is not None:
        more["valid"] = inputs.read_events(files.valid, columns, "--valid")
    if files.log is not None:
        more["log"] = inputs.read_events(files.log, columns, "--log")
    if files.negatives is not None:
        drawn, of_test = inputs.read_negatives(files.negatives, columns)
        more["test_negatives" if of_test else "negatives"] = drawn
    if files.candidates is not None:
        found = inputs.read_scores(files.candidates, columns, "--candidates", needed=False)
        more["candidates"] = found[["user", "item"]]
    if files.predictions is not None:
        more["predictions"] = inputs.read_scores(files.predictions, columns, "--predictions", needed=True)
    if files.items is not None:
        items, counts, in_order = inputs.read_items(files.items, columns)
        more |= {"items": items, "item_counts": counts, "items_in_order": in_order}
    if files.results is not None:
        figures, trials = inputs.read_results(files.results)
        more |= {"figures": figures, "ranks": None} if figures else {"trials": trials}
    return dataclasses.replace(
        parts, **more, new_items_only=files.new_items_only, cold_users=files.cold_users,
        session_gap=files.session_gap, seed=files.seed,
    )  # fmt: skip
