# SPDX-License-Identifier: Apache-2.0
"""Java's recommender with the names of `pocketrec.device.Recommender`, so that Python's tests run against it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import by_java
import numpy as np
from by_java import java
from neighbouring import with_file

from pocketrec.device.contract.names import RECIPE_FILE
from pocketrec.device.delivery.bundle import Bundle, open_bundle
from pocketrec.device.personal.budget import Budget
from pocketrec.device.personal.report import Report
from pocketrec.device.state.quality import QualityReport


class JavaRecommender:
    """A recommender of the Java runner; bundles are opened by Java itself."""

    def __init__(
        self, bundle: Path | Bundle, *, user: str | None = None, state: Path | None = None, store: Path | None = None,
        key: bytes | None = None,
    ) -> None:  # fmt: skip
        self._folder = bundle.folder if isinstance(bundle, Bundle) else bundle
        if isinstance(bundle, Bundle) and bundle.recipe != open_bundle(bundle.folder).recipe:  # changed in memory
            with_file(bundle.folder, json.dumps(bundle.recipe.to_dict()).encode(), RECIPE_FILE)
        paths = [None if path is None else str(path) for path in (state, store)]
        self._number = java().call("open", str(self._folder), user, *paths, by_java.digits(key))

    def __getattr__(self, name: str) -> Any:
        if name in ("history", "outdated", "report", "state"):
            told = java().call(name, self._number)
            return Facts(told) if name == "state" else told
        return lambda *arguments: java().call(name, self._number, *arguments)

    @property
    def bundle(self) -> Bundle:
        """The bundle, opened by Python."""
        return open_bundle(self._folder)

    def add(self, events: Any) -> int:
        return int(java().call("add", self._number, by_java.plain(events)))

    def __len__(self) -> int:
        return len(self.history)

    def __enter__(self) -> JavaRecommender:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def model(self) -> SimpleNamespace:
        """Of the personal weights in use; {} = the global ones."""
        return SimpleNamespace(export_weights=self.weights)

    def weights(self) -> dict[str, Any]:
        told = java().call("weights", self._number)
        return {name: np.array(value, np.float32) for name, value in told.items()}

    def personalise(
        self, events: Any = (), resume: bool = False, passes: int | None = None, budget: Budget | None = None,
        if_new: bool = False,
    ) -> dict[str, Any]:  # fmt: skip
        limits = {**limits_of(budget), "if_new": if_new}
        report: dict[str, Any] = java().call(
            "personalise", self._number, by_java.plain(events), resume, passes, limits
        )
        return report

    def recommend(
        self,
        k: int = 10,
        candidates: Collection[str] | None = None,
        mask_seen: bool | None = None,
        now: float | None = None,
        filter: Collection[str] | Callable[[str], bool] | None = None,
        retrieve: bool | None = None,
    ) -> list[tuple[str, float]]:
        allowed = None
        if callable(filter):  # Java asks a function too, of the items for which this one holds
            ids = self.bundle.vocabulary.ids(range(1, len(self.bundle.vocabulary) + 1))
            allowed = {"allows": [item for item in ids if filter(item)]}
        elif filter is not None:
            allowed = {"only": sorted(filter) if isinstance(filter, set) else list(filter)}
        listed = None if candidates is None else list(candidates)
        found = java().call("recommend", self._number, k, listed, mask_seen, now, allowed, retrieve)
        return [(item, score) for item, score in found]

    def quality(self, k: int = 10, last: int = 1000) -> QualityReport:
        return QualityReport(**java().call("quality", self._number, k, last))

    def embed(self) -> Any:
        return np.array(java().call("embed", self._number), np.float32)

    def task(self, name: str) -> JavaTask:
        return JavaTask(self._number, name)

    def wipe(self) -> list[Path]:
        return [Path(name) for name in java().call("wipe", self._number)]

    def forget(self, items: Any) -> int:
        return int(java().call("forget", self._number, by_java.plain(items)))


class TypedRecommender(JavaRecommender):
    """The same, whose reports are Python's."""

    def personalise(self, *arguments: Any, **options: Any) -> Report:  # type: ignore[override]
        return Report(**super().personalise(*arguments, **options))


class Facts(dict[str, Any]):
    """What Java tells of a state, by key and by name."""

    def __getattr__(self, name: str) -> Any:
        return self[name]

    @property
    def pending(self) -> int | None:
        """Steps of a training that was stopped; None = none was."""
        return self["paused"] or None


def limits_of(budget: Budget | None) -> dict[str, Any]:
    """A budget as Java's runner takes it; one with `steps` stops after so many."""
    if budget is None:
        return {}
    zones = None if budget.zones == Budget().zones else str(budget.zones)
    return {"seconds": budget.seconds, "celsius": budget.celsius, "zones": zones,
            "steps": getattr(budget, "steps", None)}  # fmt: skip


class JavaTask:
    """A task of a Java recommender, with the names of `pocketrec.device.task.Task`."""

    def __init__(self, recommender: int, name: str) -> None:
        self._number = java().call("task.open", recommender, name)

    ids = property(lambda self: tuple(self._facts()["ids"]))
    choice = property(lambda self: self._facts()["choice"])
    outdated = property(lambda self: self._facts()["outdated"])

    def _facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = java().call("task.facts", self._number)
        return facts

    def __len__(self) -> int:
        return int(self._facts()["size"])

    def add(self, events: Any) -> int:
        return int(java().call("task.add", self._number, by_java.plain(events)))

    def personalise(
        self, events: Any = (), progress: Callable[[int, int], object] | None = None, budget: Budget | None = None
    ) -> SimpleNamespace:
        limits = None if budget is None else limits_of(budget)
        told = java().call("task.personalise", self._number, by_java.plain(events), limits)
        for done, total in zip(told["steps"][::2], told["steps"][1::2], strict=True):
            if progress is not None:
                progress(done, total)
        return SimpleNamespace(**told["report"])

    def recommend(
        self, k: int = 10, candidates: Collection[str] | None = None, mask_seen: bool = False, now: float | None = None
    ) -> list[tuple[str, float]]:
        listed = None if candidates is None else list(candidates)
        return [(item, score) for item, score in java().call("task.recommend", self._number, k, listed, mask_seen, now)]

    def save(self) -> Path:
        return Path(java().call("task.save", self._number))
