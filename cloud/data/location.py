# SPDX-License-Identifier: Apache-2.0
"""Where logs lie: in $POCKETREC_DATA, else in ../shared/data beside the checkout, else in the user's cache.

Nothing is downloaded: the publishers' terms ask that their logs be fetched by the person who uses them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pocketrec.cloud.config.data import DataConfig
from pocketrec.device.base.errors import DataError

ENVIRONMENT = "POCKETREC_DATA"
_CHECKOUT = Path(__file__).resolve().parents[2]
_FILES = (
    "interactions.csv", "interactions.tsv", "interactions.parquet", "UserBehavior.csv", "yoochoose-clicks.dat",
    "ratings.dat", "ratings.csv", "u.data",
)  # fmt: skip
_PACKED = (".gz", ".bz2", ".xz", ".zip")


def data_root() -> Path:
    """The folder that holds data sets, a folder each. It need not exist."""
    if named := os.environ.get(ENVIRONMENT):
        return Path(named).expanduser()
    for checkout in (_CHECKOUT, Path.cwd()):  # an installed wheel does not lie in the checkout: then it is where we are
        shared = checkout.parent / "shared" / "data"
        if shared.is_dir():
            return shared
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "pocketrec" / "data"


def log_identity(config: DataConfig) -> list[Any]:
    """Size and time of change of the log's file, or of each file of its folder: what shows another log.

    Raises:
        DataError: there is no such file or data set.
    """
    path = find_log(config)
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        return [[str(file.relative_to(path)), *_identity(file)] for file in files]
    return _identity(path)


def _identity(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def find_log(config: DataConfig) -> Path:
    """The log of `config.path` (a file, the folder of a data set, or of Parquet files) or of the data set `config.set`.

    A folder that holds no log by a known name, but Parquet files, is the log itself.

    Raises:
        DataError: there is no such file or data set.
    """
    if config.path:
        path = Path(config.path).expanduser()
        if path.is_file():
            return path
        if not path.exists():
            raise DataError(f"no file {path}: correct data.path")
    else:
        path = data_root() / config.set
        if not path.is_dir():
            raise DataError(
                f"no data set {config.set!r} in {data_root()}: set ${ENVIRONMENT} to the folder that holds "
                f"{config.set}/, or name a file with --set data.path=FILE (docs/data.md: where logs are published)"
            )
    names = [*_FILES, f"{path.name}.inter"]
    for file in [path / (name + packed) for name in names for packed in ("", *_PACKED)]:
        if file.is_file():
            return file
    if part_files(path):
        return path
    raise DataError(
        f"no log in {path} (looked for {', '.join(names)}, also {', '.join(_PACKED)}, and for Parquet files): "
        "name the file with data.path"
    )


def part_files(path: Path) -> list[Path]:
    """The file itself, or the Parquet files of a folder in the order of their names; hidden ones are left out.

    Raises:
        DataError: the folder cannot be looked through.
    """
    if not path.is_dir():
        return [path]
    found = []
    try:
        for file in sorted(path.rglob("*")):
            if file.is_file() and not any(part.startswith((".", "_")) for part in file.relative_to(path).parts):
                with open(file, "rb") as opened:
                    if opened.read(4) == b"PAR1":
                        found.append(file)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}: repair or replace it") from None
    return found
