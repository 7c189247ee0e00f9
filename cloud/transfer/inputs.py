# SPDX-License-Identifier: Apache-2.0
"""Which files a run reads, and what shows that one has changed. This module needs no pandas and no TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pocketrec.cloud.config.data import DataConfig
from pocketrec.cloud.config.run import RunConfig
from pocketrec.cloud.config.transfer import TransferRun
from pocketrec.cloud.data.location import find_log, log_identity
from pocketrec.device.base.errors import DataError

_SYNTHETIC = "synthetic"


def beside_log(data: DataConfig, name: str) -> Path:
    """A file by its path; where there is none, the one of that name beside the log."""
    path = Path(name).expanduser()
    if path.exists() or path.is_absolute() or (data.set == _SYNTHETIC and not data.path):
        return path
    return find_log(data).parent / name


def identities(config: RunConfig) -> list[Any]:
    """Sizes and times of change of all files that a transfer run reads.

    Raises:
        DataError: one is missing.
    """
    assert isinstance(config, TransferRun)  # what the command has loaded
    found: list[Any] = []
    transfer = config.transfer
    if not transfer.source.path and not (config.data.set == _SYNTHETIC and not config.data.path):
        found.append(log_identity(config.data))
    named = [("transfer.source.path", Path(transfer.source.path))] if transfer.source.path else []
    for name, task in transfer.task.items():
        if task.path:
            path = beside_log(config.data, task.path) if task.kind == "profile" else Path(task.path)
            named.append((f"transfer.task.{name}.path", path))
    for key, path in named:
        if not path.is_file():
            raise DataError(f"no file {path}: correct {key}")
        status = path.stat()
        found.append([status.st_size, status.st_mtime_ns])
    return found
