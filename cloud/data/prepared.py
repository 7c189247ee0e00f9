"""Stage `prepare`: from an interaction log to the files that later stages read.

``RUN/data/cloud`` holds what lies before the cut-off and is all that cloud stages open, so nothing later can leak into
what they make (feature D1). ``RUN/data/devices`` holds the later events and is opened by the device side of rehearsal
and evaluation only. ``RUN/data/summary.json`` has the counts of both, ``RUN/data/reading.json`` what was
wrong with rows of the log and what was done about it, for the report.
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
from pocketrec.cloud.data.log import Details, ReadReport
from pocketrec.cloud.data.readers import read_log
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.data.split import Prepared, split_log
from pocketrec.cloud.data.vocabulary import Vocabulary
from pocketrec.device.base.errors import DataError
from pocketrec.device.base.files import write_atomic

CLOUD_FOLDER = Path("data", "cloud")
DEVICES_FOLDER = Path("data", "devices")
_ITEMS, _COUNTS, _CATEGORIES, _BEFORE, _AFTER, _LEARN, _SUMMARY, _READING = (
    "items.txt", "counts.npy", "categories.npz", "before.npz", "after.npz", "learn.npy", "summary.json", "reading.json"
)  # fmt: skip


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
    log = read_log(config.data, config.split.column if config.split.kind == "column" else None, progress=progress)
    prepared = split_log(log, config.split, config.data)
    check_usable(prepared)
    write_prepared(prepared, log.report, folder)
    return prepared


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
    return CloudData(vocabulary, counts, before, summary["cut_off"], summary["personal"], summary, categories)


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
