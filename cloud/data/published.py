# SPDX-License-Identifier: Apache-2.0
"""The public logs that the shipped configurations name: what they are, where they are published, what they count.

Nothing is downloaded: the publishers' terms ask that their logs be fetched by the person who uses them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.config.data import DataConfig
from pocketrec.cloud.data.location import data_root, find_log
from pocketrec.cloud.data.readers import read_log

_COUNTED: Final = ("events", "users", "items")


@dataclass(frozen=True)
class Published:
    """One public log."""

    name: str
    """Its folder in `data_root`, and ``data.set``."""
    title: str
    where: str
    """Address of its publisher's page."""
    events: int
    users: int
    """Users, or sessions."""
    items: int
    beside: tuple[str, ...] = ()
    """Tables beside it that some configurations read."""


#: In the order of the documentation.
PUBLISHED: Final = (
    Published("ml-100k", "MovieLens 100K", "https://grouplens.org/datasets/movielens/100k/", 100_000, 943, 1_682),
    Published("ml-1m", "MovieLens 1M", "https://grouplens.org/datasets/movielens/1m/", 1_000_209, 6_040, 3_706,
              ("items.csv.gz", "users.csv.gz")),
    Published("taobao-userbehavior-sample", "User Behavior Data from Taobao, the first 815 users",
              "https://tianchi.aliyun.com/dataset/649", 84_488, 815, 55_374),
    Published("yoochoose-100k", "RecSys Challenge 2015, 100,000 clicks as prepared by session-rec",
              "https://github.com/rn5l/session-rec", 83_845, 21_210, 2_933),
)  # fmt: skip


def check_published(log: Published, progress: Progress = no_progress) -> dict[str, Any]:
    """Look for a public log and count it.

    Args:
        log: which.
        progress: called with the bytes of the file that are read.

    Returns:
        ``name``, ``state`` (``here``, ``missing`` or ``differs``), ``file``, ``events``, ``users`` and ``items`` (None
        where it is missing) and ``lacks``, the names of tables beside it that are not there.

    Raises:
        DataError: there is something by that name that cannot be read.
    """
    folder = data_root() / log.name
    lacks = [name for name in log.beside if not (folder / name).is_file()]
    if not folder.is_dir():
        return {"name": log.name, "state": "missing", "file": None, **dict.fromkeys(_COUNTED), "lacks": lacks}
    config = DataConfig(set=log.name)
    read = read_log(config, progress=progress)
    counts = {"events": len(read), "users": len(np.unique(read.users.codes)), "items": len(np.unique(read.items.codes))}
    same = all(counts[key] == getattr(log, key) for key in _COUNTED)
    return {"name": log.name, "state": "here" if same else "differs", "file": str(find_log(config)), **counts,
            "lacks": lacks}  # fmt: skip
