"""Where logs lie: in $POCKETREC_DATA, else in ../shared/data beside the checkout, else in the user's cache.

Nothing is downloaded: the publishers' terms ask that their logs be fetched by the person who uses them.
"""

from __future__ import annotations

import os
from pathlib import Path

from pocketrec.cloud.config.data import DataConfig
from pocketrec.device.base.errors import DataError

ENVIRONMENT = "POCKETREC_DATA"
_CHECKOUT = Path(__file__).resolve().parents[2]
_FILES = (
    "interactions.csv", "interactions.tsv", "interactions.parquet", "UserBehavior.csv", "yoochoose-clicks.dat",
    "ratings.dat", "ratings.csv", "u.data",
)  # fmt: skip


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


def find_log(config: DataConfig) -> Path:
    """The file of `config.path` (a file or the folder of a data set) or of the data set `config.set`.

    Raises:
        DataError: there is no such file or data set.
    """
    if config.path:
        path = Path(config.path).expanduser()
        if path.is_file():
            return path
        if not path.exists():
            raise DataError(f"no file {path}: mend data.path")
    else:
        path = data_root() / config.set
        if not path.is_dir():
            raise DataError(
                f"no data set {config.set!r} in {data_root()}: set ${ENVIRONMENT} to the folder that holds "
                f"{config.set}/, or name a file with --set data.path=FILE (README.md says where each log is published)"
            )
    names = [*_FILES, f"{path.name}.inter"]
    for file in [path / (name + packed) for name in names for packed in ("", ".gz")]:
        if file.is_file():
            return file
    raise DataError(f"no log in {path} (looked for {', '.join(names)}, also .gz): name the file with data.path")
