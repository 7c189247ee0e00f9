# SPDX-License-Identifier: Apache-2.0
"""The synthetic log as files of the public logs' shapes (feature D24), for tests that run without those logs."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
import pandas as pd

from pocketrec.cloud.data.synthetic import Simulation
from pocketrec.device.base.files import write_atomic

#: Behaviours of the Taobao log and their shares, about as published.
BEHAVIORS = {"pv": 0.90, "cart": 0.05, "fav": 0.03, "buy": 0.02}
_GAP = 1_800  # seconds without an event that end a session


def write_csv(simulation: Simulation, path: str | Path) -> None:
    """Write ``user,item,timestamp,category`` with a header, in the order of time.

    Raises:
        StorageError: the file cannot be written.
    """
    frame = _frame(simulation)
    _write(frame[["user", "item", "timestamp", "category"]], path, header=True)


def write_taobao(simulation: Simulation, path: str | Path, seed: int = 1) -> None:
    """Write the shape of UserBehavior.csv: user,item,category,behavior,timestamp without a header, whole-number ids,
    sorted by user, then time; each behaviour drawn separately with the shares `BEHAVIORS`.

    Raises:
        StorageError: the file cannot be written.
    """
    frame = _frame(simulation).sort_values(["user", "timestamp"], kind="stable")
    drawn = np.random.default_rng(seed).choice(list(BEHAVIORS), len(frame), p=list(BEHAVIORS.values()))
    frame = frame.assign(behavior=drawn, user=_number(frame["user"]), item=_number(frame["item"]))
    _write(frame[["user", "item", "category", "behavior", "timestamp"]], path)


def write_rsc15(simulation: Simulation, path: str | Path) -> None:
    """Write the shape of yoochoose-clicks.dat: session,ISO time,item,category without a header; category 0.

    A session is a run of one user's events with less than half an hour between neighbours; sessions are numbered in
    the order of user and time.

    Raises:
        StorageError: the file cannot be written.
    """
    frame = _frame(simulation).sort_values(["user", "timestamp"], kind="stable")
    new = (frame["user"] != frame["user"].shift()) | (frame["timestamp"].diff() >= _GAP)
    times = pd.to_datetime(frame["timestamp"], unit="s").dt.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    frame = frame.assign(session=new.cumsum(), time=times, item=_number(frame["item"]), category=0)
    _write(frame[["session", "time", "item", "category"]], path)


def _frame(simulation: Simulation) -> pd.DataFrame:
    log = simulation.log
    return pd.DataFrame(
        {
            "user": log.users.values[log.users.codes],
            "item": log.items.values[log.items.codes],
            "timestamp": log.timestamps,
            "category": simulation.category[log.items.codes],
        }
    )


def _number(names: pd.Series) -> pd.Series:
    """Whole numbers from names such as u00017; from 1, as publishers number."""
    return names.str[1:].astype("int64") + 1


def _write(frame: pd.DataFrame, path: str | Path, header: bool = False) -> None:
    text = io.StringIO()
    frame.to_csv(text, index=False, header=header, lineterminator="\n")
    raw = text.getvalue().encode("utf-8")
    write_atomic(path, gzip.compress(raw, mtime=0) if str(path).endswith(".gz") else raw)
