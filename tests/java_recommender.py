# SPDX-License-Identifier: Apache-2.0
"""Java's recommender with the names of `pocketrec.device.Recommender`, so that Python's tests run against it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import by_java
import numpy as np
from by_java import java

from pocketrec.device.delivery.bundle import Bundle, open_bundle


class JavaRecommender:
    """A recommender of the Java runner; bundles are opened by Java itself."""

    def __init__(
        self, bundle: Path | Bundle, *, user: str | None = None, state: Path | None = None, store: Path | None = None
    ) -> None:
        self._folder = bundle.folder if isinstance(bundle, Bundle) else bundle
        paths = [None if path is None else str(path) for path in (state, store)]
        self._number = java().call("open", str(self._folder), user, *paths)

    def __getattr__(self, name: str) -> Any:
        if name in ("history", "outdated", "report", "state"):
            return java().call(name, self._number)
        return lambda *arguments: java().call(name, self._number, *arguments)

    @property
    def bundle(self) -> Bundle:
        """The bundle, opened by Python."""
        return open_bundle(self._folder)

    def add(self, events: Any) -> int:
        return int(java().call("add", self._number, by_java.plain(events)))

    def personalise(self, events: Any = (), resume: bool = False) -> dict[str, Any]:
        report: dict[str, Any] = java().call("personalise", self._number, by_java.plain(events), resume, None)
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

    def embed(self) -> Any:
        return np.array(java().call("embed", self._number), np.float32)

    def task(self, name: str) -> JavaTask:
        return JavaTask(self._number, name)

    def wipe(self) -> list[Path]:
        return [Path(name) for name in java().call("wipe", self._number)]

    def forget(self, items: Any) -> int:
        return int(java().call("forget", self._number, by_java.plain(items)))


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

    def personalise(self, events: Any = (), progress: Callable[[int, int], object] | None = None) -> SimpleNamespace:
        told = java().call("task.personalise", self._number, by_java.plain(events))
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
