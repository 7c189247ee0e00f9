# SPDX-License-Identifier: Apache-2.0
"""A finished run as data frames, for notebooks and programs: what it measured, for whom, on which log.

    from pocketrec import runs

    run = runs.load("runs/demo")
    run.systems["mrr@20"]                       # global, personal, baselines
    run.measure("recall@20").mean()             # the same, a row for each user
    run.ranks.query("system == 'personal' and rank > 100")

docs/runs.md says what each file and column is; their names are stable within a format. Needs pandas, no TensorFlow.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketrec.device.base import documents
from pocketrec.device.base.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    from pocketrec.cloud.config.run import RunConfig
    from pocketrec.cloud.data.prepared import CloudData

_DECIDED = "personal"  # the system whose decisions of the guard are a column


def load(folder: str | Path) -> Run:
    """Open the directory of a run; its files are read when they are asked for.

    Raises:
        DataError: the folder is not that of a run.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise DataError(f"{folder} is not the directory of a run: it has no config.json")
    return Run(folder)


@dataclass(frozen=True)
class Run:
    """A run; each property reads its file once, and raises `DataError` where the run has not come so far."""

    folder: Path

    @cached_property
    def config(self) -> RunConfig:
        """The configuration that the run was made with, every value resolved."""
        from pocketrec.cloud.config.load import stored_config

        return stored_config(self._json("config.json"))

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """metrics.json as it is (docs/metrics.md)."""
        found: dict[str, Any] = self._json("metrics.json")
        return found

    @cached_property
    def systems(self) -> pd.DataFrame:
        """A row for each system in the order of metrics.json, a column for each measure.

        Beside ``mrr@20`` and the other measures there are the ends of their 95 % intervals where there are any
        (``mrr@20 low``, ``mrr@20 high``) and, against the global model, the paired difference of the MRR@20
        (``difference``, ``difference low``, ``difference high``), ``gained`` and ``harmed`` (users).
        """
        import pandas as pd

        rows = {}
        for name, values in self.metrics.items():
            if not isinstance(values, dict) or "mrr@20" not in values:  # what is no system
                continue
            row = {key: value for key, value in values.items() if "@" in key}
            for key, interval in values.get("interval", {}).items():
                row |= {f"{key} low": interval["low"], f"{key} high": interval["high"]}
            if against := self.metrics["compare"].get(name, {}).get("mrr@20"):
                row |= {"difference": against["mean"], "difference low": against["low"],
                        "difference high": against["high"], "gained": against["gained"],
                        "harmed": against["harmed"]}  # fmt: skip
            rows[name] = row
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("system")

    @cached_property
    def users(self) -> pd.DataFrame:
        """A row for each judged user, by its id: ``old``, events ``before``, to ``learn`` from and to ``test``, ...

        ``kept`` says what the guard left the user with: personal, blend or global. Runs that judge the global model
        alone keep nothing of single users.
        """
        import pandas as pd

        plain = ("old", "before", "learn", "test", "unknown", "empty", "ceiling", "ceiling_candidates")
        rows = [
            {"user": line["user"], **{key: line[key] for key in plain if key in line},
             "kept": line.get("decision", {}).get(_DECIDED, {}).get("kept")}
            for line in self._lines
        ]  # fmt: skip
        return pd.DataFrame(rows).set_index("user")

    @cached_property
    def ranks(self) -> pd.DataFrame:
        """A row for each judged event and system: ``user``, ``position``, ``system``, ``rank``, ``rank_offered``.

        Ranks are among all items, 1 = best; ``rank_offered`` among what the device offers (candidates and own items).
        NaN is a miss: an unknown item, or one that is not offered.
        """
        import pandas as pd

        rows = [
            (line["user"], position, system, rank, offered)
            for line in self._lines
            for system, ranks in line["ranks"].items()
            for position, (rank, offered) in enumerate(zip(ranks, line["within"][system], strict=True))
        ]
        frame = pd.DataFrame(rows, columns=["user", "position", "system", "rank", "rank_offered"])
        return frame.astype({"rank": "float64", "rank_offered": "float64"})

    def measure(self, name: str = "mrr@20", column: str = "rank") -> pd.DataFrame:
        """A row for each user, a column for each system: the mean of a measure over the user's positions.

        Args:
            name: such as ``mrr@20``, ``recall@10``, ``ndcg@5``.
            column: of `ranks`: ``rank``, or ``rank_offered`` for what the device serves.
        """
        from pocketrec.cloud.metrics.metrics import per_position

        values = self.ranks.assign(value=per_position(self.ranks[column].fillna(float("inf")).to_numpy(), name))
        order = list(dict.fromkeys(self.ranks["system"]))
        return values.pivot_table(index="user", columns="system", values="value", sort=False)[order]

    @cached_property
    def items(self) -> pd.DataFrame:
        """A row for each item in order of popularity: ``row`` in the model, ``events`` before the cut-off, ``title``.

        The title is "" of an item that has none, and of all where the run has no titles.
        """
        import pandas as pd

        from pocketrec.cloud.data.prepared import load_titles

        ids = self._cloud.vocabulary.ids
        frame = pd.DataFrame({"item": ids, "row": range(1, len(ids) + 1), "events": self._cloud.counts[1:],
                              "title": load_titles(self.folder) or ""})  # fmt: skip
        return frame.set_index("item")

    def events(self, after: bool = False) -> pd.DataFrame:
        """The log as the run has it: ``user``, ``item``, ``timestamp``, by user and then by time.

        Args:
            after: what came after the cut-off, which the cloud's stages do not open, in place of what came before it;
                ``learn`` says then which events a device learns from, the others are the test. Items that were not
                seen before the cut-off are "".
        """
        import numpy as np
        import pandas as pd

        from pocketrec.cloud.data.prepared import load_devices

        devices = load_devices(self.folder) if after else None
        log = devices.after if devices else self._cloud.before
        lengths = np.diff(log.offsets)
        frame = pd.DataFrame({
            "user": np.repeat(log.users, lengths), "item": self._names[log.items], "timestamp": log.timestamps
        })  # fmt: skip
        if devices:
            frame["learn"] = frame.groupby("user", sort=False).cumcount() < np.repeat(devices.learn, lengths)
        return frame

    @cached_property
    def candidates(self) -> pd.DataFrame:
        """A row for each candidate: ``user``, ``place`` from 1, ``item``; user "" has the popular items."""
        import numpy as np
        import pandas as pd

        from pocketrec.cloud.candidates.sets import Candidates

        sets = Candidates.load(self.folder / "candidates" / "candidates.npz")
        rows = np.vstack([sets.popular[np.newaxis], sets.rows])
        frame = pd.DataFrame({
            "user": np.repeat(np.array(["", *sets.users], dtype=object), sets.k),
            "place": np.tile(np.arange(1, sets.k + 1), len(rows)),
            "item": self._names[rows.ravel()],
        })  # fmt: skip
        return frame[rows.ravel() > 0].reset_index(drop=True)

    @cached_property
    def history(self) -> pd.DataFrame:
        """A row for each line of metrics.jsonl: ``stage``, ``phase``, ``epoch``, ``loss``, ``rate``, ..."""
        import pandas as pd

        return pd.DataFrame([documents.parse(line) for line in self._text("metrics.jsonl").splitlines()])

    @cached_property
    def trials(self) -> pd.DataFrame:
        """A row for each recipe that was rehearsed: ``name``, gain in MRR@20 (``gain``, ``error``), users moved.

        ``guarded gain`` and the like are those of the finalists, which were run with the guard.
        """
        import pandas as pd

        rows = []
        for trial in self._json("rehearse/rehearsal.json")["trials"]:
            row = {key: value for key, value in trial.items() if not isinstance(value, dict | list)}
            for kind, prefix in (("unguarded", ""), ("guarded", "guarded ")):
                found = trial.get(kind) or {}
                row |= {prefix + ("gain" if key == "mean" else key): value for key, value in found.items()}
            rows.append(row)
        return pd.DataFrame(rows)

    @cached_property
    def _lines(self) -> list[dict[str, Any]]:
        text = self._text("fleet/users.jsonl").removesuffix("\n").split("\n")
        return [documents.parse(line) for line in text[1:]]  # the first is a fingerprint

    @cached_property
    def _cloud(self) -> CloudData:
        from pocketrec.cloud.data.prepared import load_cloud

        return load_cloud(self.folder)

    @cached_property
    def _names(self) -> Any:
        """object (N+1,): the id of each item row, "" for row 0."""
        import numpy as np

        return np.array(["", *self._cloud.vocabulary.ids], dtype=object)

    def _json(self, name: str) -> Any:
        try:
            return documents.parse(self._text(name))
        except documents.DocumentError:
            raise DataError(f"{self.folder / name} is damaged: finish the run with the same command") from None

    def _text(self, name: str) -> str:
        try:
            return (self.folder / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            raise DataError(f"no file {self.folder / name}: the run has not come so far, or has no such part") from None
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"cannot read {self.folder / name} ({type(error).__name__})") from None
