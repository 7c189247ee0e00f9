"""Anybody's split as `Parts`: the files that the command line names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pocketrec.cloud.audit import tables
from pocketrec.cloud.audit.case import Parts
from pocketrec.device.errors import ConfigError


@dataclass(frozen=True)
class Files:
    """Files of a split, and what its protocol promises."""

    train: Path
    test: Path
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
    folder, stem = (prefix, "") if prefix.is_dir() else (prefix.parent, prefix.name + ".")
    for part, names in (("train", ("train",)), ("valid", ("valid", "validation", "val", "dev")), ("test", ("test",))):
        for name in names:
            for end in (".inter", ".csv", ".tsv", ".txt", ".parquet", ".rating", ".dat"):
                path = folder / f"{stem}{name}{end}"
                if path.is_file():
                    found.setdefault(part, path)
    if prefix.parent.is_dir() and not prefix.is_dir():
        for part, end in (("negatives", "test.negative"),):
            path = folder / f"{stem}{end}"
            if path.is_file():
                found[part] = path
    return found


def parts_of_files(files: Files) -> Parts:
    """Read them.

    Raises:
        DataError: a file is missing, unreadable, or has no user and item.
        ConfigError: training and test are one file.
    """
    if files.train.exists() and files.test.exists() and files.train.samefile(files.test):
        raise ConfigError(f"--train and --test are one file, {files.train}: name two")
    columns = files.columns
    train, test = (tables.read_events(path, columns, option)
                   for path, option in ((files.train, "--train"), (files.test, "--test")))  # fmt: skip
    notes = []
    if ("time" in train) != ("time" in test):
        notes.append(f"only {files.train if 'time' in train else files.test} has times: they are not looked at")
        train, test = (frame[["user", "item"]] for frame in (train, test))
    valid = None if files.valid is None else tables.read_events(files.valid, columns, "--valid")
    log = None if files.log is None else tables.read_events(files.log, columns, "--log")
    negatives = test_negatives = candidates = predictions = items = counts = trials = figures = None
    in_order = False
    if files.negatives is not None:
        drawn, of_test = tables.read_negatives(files.negatives, columns)
        negatives, test_negatives = (None, drawn) if of_test else (drawn, None)
    if files.candidates is not None:
        candidates = tables.read_scores(files.candidates, columns, "--candidates", needed=False)[["user", "item"]]
    if files.predictions is not None:
        predictions = tables.read_scores(files.predictions, columns, "--predictions", needed=True)
    if files.items is not None:
        items, counts, in_order = tables.read_items(files.items, columns)
    if files.results is not None:
        figures, trials = tables.read_results(files.results)
    return Parts(
        name=f"{files.train} and {files.test}", train=train, test=_own(test), valid=valid, log=log,
        negatives=negatives, test_negatives=test_negatives, candidates=candidates, predictions=predictions,
        items=items, items_in_order=in_order, item_counts=counts, figures=figures or None, trials=trials,
        new_items_only=files.new_items_only, cold_users=files.cold_users, session_gap=files.session_gap,
        seed=files.seed, notes=tuple(notes),
    )  # fmt: skip


def _own(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.reset_index(drop=True)
