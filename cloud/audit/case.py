# SPDX-License-Identifier: Apache-2.0
"""What is audited: a split and what was made of it, as frames of whole numbers. Knows nothing about files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
import pandas as pd

from pocketrec.device.base.errors import DataError

SESSION_GAP: Final = 1800.0  # seconds without an event that end a session: the field's custom
_PLACES = 0.9  # share of users whose times count from 0 or 1: they are places and no times
_UNIX = 1e8  # numbers below are not unix times: 1973 in seconds


@dataclass(frozen=True)
class Parts:
    """All that may be known of an evaluation, with ids as text. What is not known is None.

    Frames of events have columns ``user``, ``item`` and, where there are times, ``time`` (a number, larger is later).
    """

    name: str
    """For people."""
    train: pd.DataFrame
    test: pd.DataFrame
    """Events that are to be predicted."""
    valid: pd.DataFrame | None = None
    learn: pd.DataFrame | None = None
    """Events after the cut-off that devices learn from; the model of the cloud does not see them."""
    log: pd.DataFrame | None = None
    """The whole log, read from its file again."""
    cut_off: float | None = None
    """First time that training does not see, where the protocol has such a time."""
    negatives: pd.DataFrame | None = None
    """``user``, ``item``: negatives that training drew."""
    test_negatives: pd.DataFrame | None = None
    """``user``, ``item``: negatives that the evaluation ranks the targets among."""
    candidates: pd.DataFrame | None = None
    """``user``, ``item``: candidate sets."""
    predictions: pd.DataFrame | None = None
    """``user``, ``item``, ``score``."""
    items: list[str] | None = None
    """Items that the model knows; where `items_in_order`, the most popular first."""
    items_in_order: bool = False
    item_counts: np.ndarray | None = None
    """Popularity that is claimed for each of `items`."""
    users: list[str] | None = None
    """Users that the model knows."""
    ranks: pd.DataFrame | None = None
    """``user``, ``rank``: of each target in the full ranking; a miss is infinity."""
    figures: Mapping[str, float] | None = None
    """Reported figures, such as ``recall@20``."""
    trials: pd.DataFrame | None = None
    """One row a trial (or a trial and user), with the columns of its file."""
    arrays: Mapping[str, np.ndarray] | None = None
    """Numbers that a model or its evaluation consists of, by the name of their file."""
    recount: Mapping[str, tuple[float, float]] | None = None
    """Count -> what the split says, what pandas counts in the log."""
    new_items_only: bool = False
    """The protocol says that no target is an item that its user had in training."""
    masks_seen: bool = False
    """The evaluation takes items of the user's history out of the ranking."""
    cold_users: bool = False
    """The protocol says that no user of the test has a training event."""
    session_gap: float | None = None
    """Pause that ends a session, in the unit of the times; None = 30 minutes, where times are unix times."""
    seed: int = 1
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """`Parts` with ids as places in two common lists, and what several checks ask for."""

    parts: Parts
    user_ids: np.ndarray
    """object (U,)."""
    item_ids: np.ndarray
    """object (N,)."""
    frames: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    """Name of a frame of `Parts` -> it, with int64 columns ``user`` and ``item``."""

    @staticmethod
    def of(parts: Parts) -> Case:
        """Number the ids.

        Raises:
            DataError: training or test is empty, or they have no item in common.
        """
        for name in ("train", "test"):
            if getattr(parts, name).empty:
                raise DataError(f"the {name} part of {parts.name} has no event: name files with events")
        names = [name for name in _FRAMES if getattr(parts, name) is not None]
        users = pd.Index(pd.concat([getattr(parts, name)["user"] for name in names]).unique())
        items = pd.Index(pd.concat([getattr(parts, name)["item"] for name in names]).unique())
        frames = {}
        for name in names:
            frame = getattr(parts, name)
            coded = {"user": users.get_indexer(frame["user"]), "item": items.get_indexer(frame["item"])}
            frames[name] = frame.assign(**coded).reset_index(drop=True)
        case = Case(parts, users.to_numpy(object), items.to_numpy(object), frames)
        if not np.isin(frames["test"]["item"], frames["train"]["item"]).any():
            raise DataError(f"training and test of {parts.name} have no item in common: are both of one log, with the "
                            "same ids? see --item-column")  # fmt: skip
        return case

    @property
    def train(self) -> pd.DataFrame:
        """Training events."""
        return self.frames["train"]

    @property
    def test(self) -> pd.DataFrame:
        """Events to be predicted."""
        return self.frames["test"]

    def frame(self, name: str) -> pd.DataFrame:
        """Another frame of `Parts`."""
        return self.frames[name]

    @cached_property
    def later(self) -> pd.DataFrame:
        """All events that training must not know: the test's, and those that devices learn from."""
        return pd.concat([self.frames[name] for name in ("learn", "test") if name in self.frames], ignore_index=True)

    @cached_property
    def whole(self) -> pd.DataFrame:
        """Every event that is known: of the log, else of all parts of the split."""
        if "log" in self.frames:
            return self.frames["log"]
        parts = [self.frames[name] for name in ("train", "valid", "learn", "test") if name in self.frames]
        return pd.concat(parts, ignore_index=True)

    @cached_property
    def no_time(self) -> str:
        """Why events of different users cannot be put into one order of time; empty where they can."""
        if not all("time" in frame for frame in (self.train, self.test)):
            return "the events have no times"
        times = pd.concat([self.train[["user", "time"]], self.later[["user", "time"]]])
        if times["time"].nunique() == 1:
            return "all events have the same time"
        each = times.groupby("user")["time"].agg(["min", "max", "size", "nunique"])
        begins, dense = each["min"].isin([0, 1]), each["max"] - each["min"] < 1.1 * each["size"] + 2
        if (begins & dense & (each["size"] == each["nunique"])).mean() > _PLACES:  # not all: events may be left out
            return "the times are only places in each user's own history"
        return ""

    @cached_property
    def train_counts(self) -> np.ndarray:
        """int64 (N,): training events of each item."""
        return np.bincount(self.train["item"], minlength=len(self.item_ids))

    @cached_property
    def whole_counts(self) -> np.ndarray:
        """int64 (N,): events of each item in the whole log."""
        return np.bincount(self.whole["item"], minlength=len(self.item_ids))

    def keys(self, frame: pd.DataFrame) -> np.ndarray:
        """int64 (n,): one number for each pair of user and item."""
        keys: np.ndarray = frame["user"].to_numpy(np.int64) * len(self.item_ids) + frame["item"].to_numpy(np.int64)
        return keys

    @cached_property
    def train_pairs(self) -> np.ndarray:
        """int64, sorted: `keys` of the training events, each once."""
        return np.unique(self.keys(self.train))

    @cached_property
    def test_pairs(self) -> np.ndarray:
        """int64, sorted: `keys` of the test events, each once."""
        return np.unique(self.keys(self.test))

    @cached_property
    def gap(self) -> float | None:
        """The pause that ends a session in the unit of the times; None where their unit is not known."""
        if self.parts.session_gap is not None:
            return self.parts.session_gap
        size = float(self.test["time"].abs().median())
        if size < _UNIX:
            return None
        scale = 1 if size < 1e11 else 1e3 if size < 1e14 else 1e6 if size < 1e17 else 1e9  # s, ms, us or ns
        return SESSION_GAP * scale

    def given(self, need: str) -> bool:
        """Whether something that a check needs is there."""
        value: Any = getattr(self.parts, need)
        return value is not None


_FRAMES = ("train", "test", "valid", "learn", "log", "negatives", "test_negatives", "candidates", "predictions")
