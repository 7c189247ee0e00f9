# SPDX-License-Identifier: Apache-2.0
"""The configuration of a PFedRec run: the section ``[pfedrec]``, and the few sections of a run that it reads.

Kept apart from `pocketrec.cloud.config.run`: nothing here shapes a bundle.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pocketrec.cloud.config.load import build_config, read_tables
from pocketrec.cloud.config.run import RunConfig
from pocketrec.cloud.config.section import to_plain
from pocketrec.device.base.errors import ConfigError

#: Who may be a training negative: every item but the training items (strict), or every item that the user never
#: touched, test and validation items included in the touched ones (paper: the original's leak).
SAMPLINGS: Final = ("strict", "paper")
#: Item tables that a client may score with.
TABLES: Final = ("shared", "own", "random")
AVERAGES: Final = ("uniform", "size")
UPLOADS: Final = ("full", "touched")
#: Negatives beside the target in sampled ranking (He et al., WWW 2017).
RANKED_NEGATIVES: Final = 99
_SECTIONS: Final = ("data", "baselines", "candidates", "evaluate", "resources", "pfedrec")


@dataclass(frozen=True)
class PFedRecConfig:
    """Clients, rounds, uploads, and what is compared."""

    latent: int = 32
    """Size E of item embeddings; a client's private numbers are E + 1."""
    learning_rate: float = 0.1
    """Rate lr of the score step (weights and bias)."""
    eta: float = 80.0
    """The item step's rate is lr x items x eta (the original's ``lr_eta``)."""
    batch: int = 256
    """Samples of a batch; the short last one is kept."""
    negatives: int = 4
    """Negatives drawn for each positive, again in every round."""
    local_epochs: int = 1
    """Passes of a client over its samples in a round."""
    rounds: int = 100
    """Rounds of every training."""
    sampling: list[str] = field(default_factory=lambda: ["strict"])
    """Training negatives, a training for each: strict or paper. The first is what all others are compared with."""
    table: str = "shared"
    """Item table that users are served with: shared or own. The others are in the result all the same."""
    share: float = 1.0
    """Share of the clients that take part in a round, int(clients x share), without replacement."""
    clients: int = 0
    """Number of clients that take part in a round; 0 = by `share`."""
    average: str = "uniform"
    """Weight of a client in the server's average: uniform, or size (its training events)."""
    upload: str = "full"
    """What a client sends: full (the whole table) or touched (the rows that its samples named, with their numbers)."""
    bits: int = 32
    """Of an entry of an upload: 32 (float32), or 8 (differences to the table received, one float32 scale a row)."""
    noise: float = 0.0
    """Scale of the Laplace noise that a client adds to every entry it sends; 0 = none. Needs uniform average."""
    noise_sweep: list[float] = field(default_factory=list)
    """Further scales of that noise; a training with the first sampling for each."""
    int8_too: bool = False
    """Also train with 8-bit uploads and the first sampling, for the table of bytes."""
    local: bool = True
    """Also train every client alone, without a server, for each sampling."""
    mask_seen: bool = True
    """Full ranking leaves out the user's training items, and for the test the validation item; off for logs with
    repeats."""
    central_epochs: int = 40
    """Epochs of centralised matrix factorisation on pooled events, for comparison; 0 = none."""
    central_learning_rate: float = 0.05
    """Its rate (Adagrad)."""

    checkpoint: float = 20.0
    """Least seconds between two checkpoints of a training; shapes no figure."""

    def __post_init__(self) -> None:
        for name in ("latent", "batch", "negatives", "local_epochs", "rounds"):
            _check(getattr(self, name) >= 1, f"{name} must be at least 1, and is {getattr(self, name)}")
        for name in ("learning_rate", "eta", "central_learning_rate"):
            _check(0 < getattr(self, name) < math.inf, f"{name} must be above 0 and finite")
        _check(bool(self.sampling) and len(set(self.sampling)) == len(self.sampling),
               "sampling must name each of its kinds once, and at least one")
        for name in self.sampling:
            _one_of(name, SAMPLINGS, "sampling")
        _one_of(self.table, ("shared", "own"), "table")
        _one_of(self.average, AVERAGES, "average")
        _one_of(self.upload, UPLOADS, "upload")
        _check(self.bits in (8, 32), f"bits must be 8 or 32, and is {self.bits}")
        _check(0 < self.share <= 1, "share must lie in (0, 1]")
        _check(self.clients >= 0, "clients must not be negative")
        _check(self.checkpoint >= 0, "checkpoint must not be negative")
        _check(self.central_epochs >= 0, "central_epochs must not be negative")
        scales = [self.noise, *self.noise_sweep]
        _check(all(0 <= scale < math.inf for scale in scales), "noise and noise_sweep must not be negative")
        _check(not any(scales) or self.average == "uniform", 'noise needs average = "uniform"')
        _check(not any(scales) or self.bits == 32, "noise needs bits = 32")


@dataclass(frozen=True)
class PFedRecRun(RunConfig):
    """A run of ``pocketrec pfedrec``: ``[pfedrec]`` beside those sections of a run that it reads.

    Read are ``seed``, ``[data]``, ``[baselines]``, ``[candidates.als]`` (factors, regularization, alpha, iterations),
    ``[evaluate]`` (bootstrap) and ``[resources]`` (threads of ALS).
    """

    pfedrec: PFedRecConfig = field(default_factory=PFedRecConfig)

    def to_dict(self) -> dict[str, Any]:
        """The sections that count, as plain tables."""
        tables = to_plain(self)
        return {"seed": self.seed, **{name: tables[name] for name in _SECTIONS}}


def load_pfedrec(path: str | Path, overrides: Sequence[str] = ()) -> PFedRecRun:
    """Read a TOML file and apply ``key=value`` overrides such as ``pfedrec.rounds=3``.

    Raises:
        ConfigError: the file is missing or not TOML, a key is unknown or of a section that PFedRec does not read, or a
            value has the wrong type or range.
    """
    tables = read_tables(path, overrides)
    for key in tables:
        if key != "seed" and key not in _SECTIONS:
            raise ConfigError(f"unknown key {key}: the keys of a PFedRec run are seed, {', '.join(_SECTIONS)}")
    return build_config(PFedRecRun, tables)


def item_rate(config: PFedRecConfig, items: int) -> float:
    """Rate of the item step: lr x items x eta (13,456 for the 1,682 items of ml-100k and the defaults)."""
    return config.learning_rate * items * config.eta


def _check(holds: bool, message: str) -> None:
    if not holds:
        raise ConfigError(f"[pfedrec] {message}")


def _one_of(value: str, known: Sequence[str], name: str) -> None:
    _check(value in known, f"{name} {value!r} is not one of {', '.join(known)}")
