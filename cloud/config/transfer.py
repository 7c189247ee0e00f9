# SPDX-License-Identifier: Apache-2.0
"""Table ``[transfer]``: one backbone, tuned for tasks of users that the task has not seen; and its tables of choices.

Kept apart from `pocketrec.cloud.config.run`, as PFedRec's is: ``pocketrec run`` has nothing of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final

from pocketrec.cloud.config.checks import at_least, known, one_of, rate, require
from pocketrec.cloud.config.layers import check_backbone
from pocketrec.cloud.config.load import build_config, read_tables
from pocketrec.cloud.config.run import RunConfig
from pocketrec.cloud.config.section import to_plain
from pocketrec.device.base.choices import Choice, Table
from pocketrec.device.base.errors import ConfigError

_TRANSFER: Final = "pocketrec.cloud.transfer"

METHODS: Final = Table(
    "transfer.methods",
    {
        "fine_all": Choice(f"{_TRANSFER}.methods:FINE_ALL", "the pretrained model; all of it trains (FineAll)"),
        "fine_last": Choice(f"{_TRANSFER}.methods:FINE_LAST", "the pretrained model; its new head trains (FineLast)"),
        "fine_zero": Choice(f"{_TRANSFER}.methods:FINE_ZERO", "a new model; all of it trains (FineZero)"),
        "untuned": Choice(
            f"{_TRANSFER}.methods:UNTUNED", "the pretrained model with its own item rows as the head; nothing trains"
        ),
        "serial": Choice(
            f"{_TRANSFER}.methods:SERIAL", "the head and adapters after frozen layers (PeterRec; Yuan et al. 2020)"
        ),
        "parallel": Choice(f"{_TRANSFER}.methods:PARALLEL", "the head and adapters beside frozen layers (PeterRec)"),
    },
)
TASK_LOSSES: Final = Table(
    "transfer.loss",
    {
        "full_softmax": Choice(f"{_TRANSFER}.losses:full_softmax", "cross-entropy over all of the task's targets"),
        "pairwise": Choice(
            f"{_TRANSFER}.losses:pairwise", "-log s(positive) - log(1 - s(negative)) with one negative (PeterRec)"
        ),
        "bpr": Choice(f"{_TRANSFER}.losses:bpr", "-log s(positive - negative) with one negative (Rendle et al. 2009)"),
    },
)
TASK_SAMPLERS: Final = Table(
    "transfer.sampler",
    {
        "uniform": Choice(f"{_TRANSFER}.negatives:uniform", "every target alike"),
        "lambda_fm": Choice(
            f"{_TRANSFER}.negatives:lambda_fm",
            "by exp(-(rank + 1) / (rho M)), rank of popularity from 0 (LambdaFM; Yuan et al. 2016)",
        ),
    },
)
#: What a task's targets are.
KINDS: Final = ("items", "profile")
_SECTIONS: Final = ("data", "model", "train", "baselines", "export", "lean", "evaluate", "resources", "transfer")


@dataclass(frozen=True)
class SourceConfig:
    """What the backbone is pretrained on: events of every user, of test users too (but not their targets)."""

    keep: dict[str, list[str]] = field(default_factory=dict)
    """Rows of the log, as ``data.keep``: column -> allowed values, such as ``behavior = ["pv"]``."""
    path: str = ""
    """A file of lines ``x1,..,xn``, items of one user each, oldest first, in place of the log."""


@dataclass(frozen=True)
class SplitShares:
    """How the users of a task are split; each user is in one part as a whole."""

    test: float = 0.2
    """Share of the users who are judged, once."""
    validation: float = 0.1
    """Share of the users who choose rates and epochs."""

    def __post_init__(self) -> None:
        require(0 < self.test < 1, "transfer.split", "test must lie in (0, 1)")
        require(0 < self.validation < 1 - self.test, "transfer.split",
                "validation must lie in (0, 1 - test): without validation users nothing chooses rates and epochs")


@dataclass(frozen=True)
class TaskConfig:
    """One task: what is to be told of users from their source events."""

    kind: str = "items"
    """items: which item comes next in the task; profile: which value a user has in a column."""
    keep: dict[str, list[str]] = field(default_factory=dict)
    """For items of the log: the rows that are targets, as ``data.keep``."""
    path: str = ""
    """For items: a file of lines ``x1,..,xn,,t1,..,tm`` in place of the log. For a profile: a CSV file of users, which
    may lie beside the log."""
    column: str = ""
    """For a profile: the column of the classes."""
    user: str = "user"
    """For a profile: the column of the users' ids."""

    def __post_init__(self) -> None:
        one_of(self.kind, KINDS, "transfer.task", "kind")
        if self.kind == "profile":
            require(bool(self.path and self.column), "transfer.task",
                    "a profile names the file of users (path) and the column of their classes (column)")  # fmt: skip
        else:
            require(bool(self.keep) != bool(self.path), "transfer.task",
                    "a task of items names either rows of the log (keep) or a file of source,,targets (path)")


@dataclass(frozen=True)
class TransferConfig:
    """Pretraining, tasks, and how each is tuned."""

    methods: list[str] = field(default_factory=lambda: [
        "fine_all", "fine_last", "fine_zero", "untuned", "serial", "parallel",
    ])  # fmt: skip
    """What is compared, each method once. The others are compared with `fine_all`, where it is among them."""
    loss: str = "full_softmax"
    """What is minimised."""
    sampler: str = "uniform"
    """What the negative of `pairwise` and `bpr` is drawn from; never the positive."""
    rho: float = 0.3
    """Of `lambda_fm`: share of the targets that it mostly draws from."""
    rates: list[float] = field(default_factory=lambda: [0.0003, 0.001, 0.003])
    """Learning rates (Adam); validation users choose one for each method and task."""
    epochs: int = 12
    """Most passes over the training targets; validation users choose the number."""
    patience: int = 2
    """Epochs without a better validation figure before a tuning ends."""
    batch: int = 64
    """Targets of a step."""
    dropout: float = 0.0
    """Dropout of the item embeddings that enter the backbone, while tuning."""
    head_rate: float = 1.0
    """Rate of the task's head as a multiple of the rate."""
    windows: int = 1
    """For profiles: windows that each training user gives at most, the latest ones; the class is the same in each."""
    users: list[int] = field(default_factory=list)
    """Further numbers of training users, a tuning of every method with each: the curve of few users. The users of a
    smaller number are among those of a larger one."""
    repeats: bool = True
    """For items: also judge each method with the product's bonus for items of the own history, chosen by validation
    users."""
    patches: list[str] = field(default_factory=lambda: ["serial"])
    """The method whose tuned patch is written for devices, with the backbone as a bundle of its way; [] = none. One of
    those that put adapters beside the backbone."""
    personal_rates: list[float] = field(default_factory=lambda: [0.001, 0.003, 0.01])
    """Rates of a device's training of a personal patch on the shared one that the rehearsal tries on validation users;
    [] = devices train none."""
    personal_passes: int = 5
    """Passes of that training."""
    files: bool = False
    """Also write each task's parts as files of lines ``x1,..,xn,,t1``."""
    source: SourceConfig = field(default_factory=SourceConfig)
    split: SplitShares = field(default_factory=SplitShares)
    task: dict[str, TaskConfig] = field(default_factory=dict)

    CHOICES: ClassVar = {"methods": METHODS, "loss": TASK_LOSSES, "sampler": TASK_SAMPLERS}

    def __post_init__(self) -> None:
        require(bool(self.methods) and len(set(self.methods)) == len(self.methods), "transfer",
                "methods must name at least one method, each once")  # fmt: skip
        for name in [*self.methods, *self.patches]:
            known(name, METHODS, "transfer", "methods")
        require(set(self.patches) <= set(self.methods), "transfer", "patches must be among the methods")
        require(len(self.patches) <= 1, "transfer",
                "patches must name one method: a bundle has one graph, and each task one patch")  # fmt: skip
        known(self.loss, TASK_LOSSES, "transfer", "loss")
        known(self.sampler, TASK_SAMPLERS, "transfer", "sampler")
        require(bool(self.rates) and all(map(rate, self.rates)), "transfer", "rates must be above 0 and finite")
        require(rate(self.rho) and rate(self.head_rate), "transfer", "rho and head_rate must be above 0 and finite")
        require(all(map(rate, self.personal_rates)), "transfer", "personal_rates must be above 0 and finite")
        at_least(1, self, "transfer", "epochs", "patience", "batch", "windows", "personal_passes")
        require(0 <= self.dropout < 1, "transfer", "dropout must lie in [0, 1)")
        require(all(count >= 1 for count in self.users), "transfer", "users must be numbers of at least 1")
        for name in self.task:
            require(name.isidentifier(), "transfer", f"the task's name {name!r} must be a word without spaces")


@dataclass(frozen=True)
class TransferRun(RunConfig):
    """A run of ``pocketrec transfer``: ``[transfer]`` beside those sections of a run that it reads.

    Read are ``seed``, ``[data]``, ``[model]``, ``[train]``, ``[baselines.knn]``, ``[export]`` and ``[lean]`` (of the
    bundle), ``[evaluate]`` (bootstrap and ties) and ``[resources]`` (threads).
    """

    transfer: TransferConfig = field(default_factory=TransferConfig)

    def to_dict(self) -> dict[str, Any]:
        """The sections that count, as plain tables."""
        tables = to_plain(self)
        tables["transfer"]["task"] = {name: to_plain(task) for name, task in self.transfer.task.items()}
        return {"seed": self.seed, **{name: tables[name] for name in _SECTIONS}}


def load_transfer(path: str | Path, overrides: Sequence[str] = ()) -> TransferRun:
    """Read a TOML file and apply ``key=value`` overrides such as ``transfer.epochs=3``.

    Raises:
        ConfigError: the file is missing or not TOML, a key is unknown or of a section that is not read, a value has the
            wrong type or range, there is no task, or a method of `patches` has no patch.
    """
    tables = read_tables(path, overrides)
    for key in tables:
        if key != "seed" and key not in _SECTIONS:
            raise ConfigError(f"unknown key {key}: the keys of a transfer run are seed, {', '.join(_SECTIONS)}")
    config = build_config(TransferRun, tables)
    if not config.transfer.task:
        raise ConfigError("[transfer] has no task: add a table [transfer.task.NAME] (docs/transfer.md has examples)")
    for name in config.transfer.patches:
        require(bool(METHODS.load(name).way), "transfer",
                f"patches: {name!r} puts nothing beside the backbone: name serial or parallel")  # fmt: skip
    require(not config.transfer.patches or config.model.tied, "transfer",
            "patches: a device holds one item table: set model.tied = true, or patches = []")  # fmt: skip
    check_backbone(config)
    return config
