# SPDX-License-Identifier: Apache-2.0
"""Stage `prepare`: from an interaction log to the files that later stages read.

``RUN/data/cloud`` holds what lies before the cut-off and is all that cloud stages open, so nothing later can leak into
what they make (feature D1). ``RUN/data/devices`` holds the later events and is opened by the device side of rehearsal
and evaluation only. ``RUN/data/summary.json`` has the counts of both, ``RUN/data/reading.json`` what was
wrong with rows of the log and what was done about it, for the report. Where the log has privacy classes
(`DataConfig.privacy`), ``RUN/data/later`` has what the cloud may use of the events after the cut-off.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.config.run import RunConfig
from pocketrec.cloud.data.categories import Categories
from pocketrec.cloud.data.checks import check_usable
from pocketrec.cloud.data.item_features import ItemFeatures, features_of_vocabulary
from pocketrec.cloud.data.item_table import find_items, read_items
from pocketrec.cloud.data.log import Details, ReadReport
from pocketrec.cloud.data.readers import read_log
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.data.split import Prepared, split_log
from pocketrec.cloud.data.vocabulary import Vocabulary
from pocketrec.device.base.errors import DataError
from pocketrec.device.base.files import write_atomic
from pocketrec.device.contract.titles import TITLES_FILE, titles_file

CLOUD_FOLDER = Path("data", "cloud")
DEVICES_FOLDER = Path("data", "devices")
NECESSARY_FILE = Path("data", "later", "necessary.npz")
_ITEMS, _COUNTS, _CATEGORIES, _BEFORE, _AFTER, _LEARN, _SUMMARY, _READING = (
    "items.txt", "counts.npy", "categories.npz", "before.npz", "after.npz", "learn.npy", "summary.json", "reading.json"
)  # fmt: skip
FEATURES_FILE = CLOUD_FOLDER / "item_features.npz"
TITLES_OF_ITEMS = CLOUD_FOLDER / TITLES_FILE


@dataclass(frozen=True)
class CloudData:
    """What the cloud may see."""

    vocabulary: Vocabulary
    counts: np.ndarray
    """int64 (N+1,): events by item row."""
    before: Sequences
    cut_off: int | float | None
    """First time not seen; None where the split has no such time."""
    personal: bool
    """False: the global model alone is judged."""
    summary: dict[str, Any]
    """Counts of the events before the cut-off."""
    categories: Categories | None = None
    """Category of each item row; None where `DataConfig.category` names no column."""
    features: ItemFeatures | None = None
    """Features of each item row; None where ``[items]`` names no file."""

    @property
    def item_categories(self) -> np.ndarray | None:
        """int32 (N+1,): one category of each item row, 0 = none: that of `categories`, else the first value that is
        known of an item; None where nobody names categories."""
        if self.categories is not None:
            return self.categories.of_row
        known = self.features is not None and len(self.features.space.values)
        return self.features.values[:, 0] if self.features is not None and known else None


@dataclass(frozen=True)
class DeviceData:
    """What only devices see."""

    after: Sequences
    learn: np.ndarray
    """int64 (len(after),): number of first events to learn from; the rest is the test."""


def prepare(config: RunConfig, folder: str | Path, progress: Progress = no_progress) -> Prepared:
    """Read and split the log of `config` and write it into the run directory `folder`.

    Nothing is kept of an interrupted call but whole files, which are written again; no two calls at once in one folder.

    Args:
        config: the run.
        folder: the run directory.
        progress: called with the bytes of the log that are read.

    Raises:
        DataError: the log is missing, unreadable, cannot be split as asked, or nobody could be trained on or judged.
        ConfigError: the configuration does not fit the log.
        StorageError: a file cannot be written.
    """
    prepared, report, items = look_at(config, progress)
    write_prepared(prepared, report, folder)
    write_items(items, folder)
    return prepared


def look_at(
    config: RunConfig, progress: Progress = no_progress
) -> tuple[Prepared, ReadReport, tuple[ItemFeatures | None, list[str]]]:
    """What `prepare` writes; nothing is written.

    Returns:
        The log in two parts, what reading it found, and what `items_of_run` gives.

    Raises:
        DataError: see `prepare`.
        ConfigError: see `prepare`.
    """
    log = read_log(config.data, config.split.column if config.split.kind == "column" else None, progress=progress)
    prepared = split_log(log, config.split, config.data)
    check_usable(prepared)
    return prepared, log.report, items_of_run(config, prepared.vocabulary)


def items_of_run(config: RunConfig, vocabulary: Vocabulary) -> tuple[ItemFeatures | None, list[str]]:
    """What the file of ``[items]`` says of the vocabulary's items: features, and titles by row.

    Where it names no file or no such columns there are no features (None) and no titles (empty).

    Raises:
        DataError: the file is missing, cannot be read, or has none of the items.
    """
    if not config.items.path:
        return None, []
    read = read_items(find_items(config.items, config.data), config.items)
    described = config.items.categories or config.items.numbers
    features = features_of_vocabulary(read, vocabulary.ids) if described else None
    named = dict(zip(read.ids, read.titles, strict=True)) if read.titles else {}
    titles = [named.get(item, "") for item in vocabulary.ids]
    if named and not any(titles):
        raise DataError(f"{config.items.path} has a title for none of the log's items: correct [items]")
    return features, titles if named else []


def load_titles(folder: str | Path) -> list[str]:
    """The title of each item, row 1 first, "" where it has none; empty where the run has no titles."""
    path = Path(folder) / TITLES_OF_ITEMS
    return path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []


def write_items(items: tuple[ItemFeatures | None, list[str]], folder: str | Path) -> None:
    """Write what `items_of_run` gave into the run directory `folder`, or remove what an earlier call wrote.

    Raises:
        StorageError: the file cannot be written.
    """
    features, titles = items
    if titles:
        write_atomic(Path(folder) / TITLES_OF_ITEMS, titles_file(titles))
    else:
        (Path(folder) / TITLES_OF_ITEMS).unlink(missing_ok=True)
    if features is None:
        (Path(folder) / FEATURES_FILE).unlink(missing_ok=True)
    else:
        features.save(Path(folder) / FEATURES_FILE)


def write_prepared(prepared: Prepared, report: ReadReport, folder: str | Path) -> None:
    """Write a split log into the run directory `folder`.

    Raises:
        StorageError: a file cannot be written.
    """
    cloud, devices = Path(folder) / CLOUD_FOLDER, Path(folder) / DEVICES_FOLDER
    for left in (Path(folder) / "data").rglob(".*.tmp"):  # by a process that was killed
        left.unlink()
    prepared.vocabulary.save(cloud / _ITEMS)
    write_atomic(cloud / _COUNTS, lambda file: np.save(file, prepared.counts))
    if prepared.categories is not None:
        prepared.categories.save(cloud / _CATEGORIES)
    else:
        (cloud / _CATEGORIES).unlink(missing_ok=True)
    prepared.before.save(cloud / _BEFORE)
    _write_json(cloud / _SUMMARY, prepared.past)
    prepared.after.save(devices / _AFTER)
    write_atomic(devices / _LEARN, lambda file: np.save(file, prepared.learn))
    if prepared.necessary is not None:
        prepared.necessary.save(Path(folder) / NECESSARY_FILE)
    else:
        (Path(folder) / NECESSARY_FILE).unlink(missing_ok=True)
    _write_json(Path(folder) / "data" / _SUMMARY, {**prepared.summary, "read": report.to_dict()})
    _write_json(Path(folder) / "data" / _READING, report.details.to_dict())


def load_cloud(folder: str | Path) -> CloudData:
    """Read ``RUN/data/cloud`` of the run directory `folder`.

    Raises:
        DataError: a file is missing or damaged.
    """
    cloud = Path(folder) / CLOUD_FOLDER
    summary = _read_json(cloud / _SUMMARY)
    vocabulary = Vocabulary.load(cloud / _ITEMS)
    counts = _read_array(cloud / _COUNTS)
    if len(counts) != len(vocabulary) + 1:
        raise DataError(f"{cloud} does not fit together: run `pocketrec prepare` again")
    before = Sequences.load(cloud / _BEFORE)
    categories = Categories.load(cloud / _CATEGORIES) if (cloud / _CATEGORIES).exists() else None
    if categories is not None and len(categories.of_row) != len(counts):
        raise DataError(f"{cloud} does not fit together: run `pocketrec prepare` again")
    features = ItemFeatures.load(Path(folder) / FEATURES_FILE) if (Path(folder) / FEATURES_FILE).exists() else None
    if features is not None and len(features) != len(counts):
        raise DataError(f"{cloud} does not fit together: run `pocketrec prepare` again")
    return CloudData(
        vocabulary, counts, before, summary["cut_off"], summary["personal"], summary, categories, features
    )


def load_devices(folder: str | Path) -> DeviceData:
    """Read ``RUN/data/devices`` of the run directory `folder`.

    Raises:
        DataError: a file is missing or damaged.
    """
    devices = Path(folder) / DEVICES_FOLDER
    data = DeviceData(Sequences.load(devices / _AFTER), _read_array(devices / _LEARN))
    if len(data.learn) != len(data.after):
        raise DataError(f"{devices} does not fit together: run `pocketrec prepare` again")
    return data


def load_necessary(folder: str | Path) -> Sequences:
    """What the cloud may use of the later events that devices learn from, of the run directory `folder`.

    Raises:
        DataError: the file is missing or damaged.
    """
    return Sequences.load(Path(folder) / NECESSARY_FILE)


def load_summary(folder: str | Path) -> dict[str, Any]:
    """All counts of ``RUN/data/summary.json``; key ``read`` holds the `ReadReport` of the log.

    Raises:
        DataError: the file is missing or damaged.
    """
    return _read_json(Path(folder) / "data" / _SUMMARY)


def load_reading(folder: str | Path) -> ReadReport | None:
    """What reading the log found, with reasons; None where the run directory has no such file.

    Raises:
        DataError: a file is damaged.
    """
    data = Path(folder) / "data"
    if not (data / _READING).exists() or not (data / _SUMMARY).exists():
        return None
    try:
        details = Details.from_dict(_read_json(data / _READING))
        return ReadReport(**_read_json(data / _SUMMARY)["read"], details=details)
    except (TypeError, KeyError):
        raise DataError(f"{data} does not fit together: run `pocketrec prepare` again") from None


def _write_json(path: Path, content: dict[str, Any]) -> None:
    write_atomic(path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode("utf-8"))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return content
    except FileNotFoundError:
        raise DataError(f"no file {path}: run `pocketrec prepare` first") from None
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path} ({type(error).__name__}): run `pocketrec prepare` again") from None


def _read_array(path: Path) -> np.ndarray:
    try:
        array: np.ndarray = np.load(path, allow_pickle=False)
        return array
    except FileNotFoundError:
        raise DataError(f"no file {path}: run `pocketrec prepare` first") from None
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"cannot read {path} ({type(error).__name__}): run `pocketrec prepare` again") from None
