# SPDX-License-Identifier: Apache-2.0
"""Table ``[resources]``: where and how fast a run takes place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from pocketrec.cloud.config.checks import at_least, one_of
from pocketrec.device.engine.runtimes import AUTO, RUNTIMES

#: Names that a configuration may hold; a test compares them with what is there.
ENGINES: Final = ("local", "spark")


@dataclass(frozen=True)
class ResourceConfig:
    """Where and how fast the run takes place. Another number of threads or another runtime sums in another order, so
    weights and figures may differ by rounding; nothing else changes, except that each engine has its own ALS."""

    threads: int = 0
    """Threads of TensorFlow and ALS; 0 = one for each core."""
    processes: int = 0
    """Device processes of rehearsal and evaluation; 0 = one for each core."""
    engine: str = "local"
    """What runs prepare and candidates: local (this machine) or spark. prepare gives the same bytes on both; ALS is
    Spark's own there."""
    master: str = ""
    """For engine spark: ``local[2]``, ``spark://host:port``, ``yarn`` or ``k8s://...``; empty = that of
    spark-submit, or this machine."""
    runtime: str = AUTO
    """Device runtime of rehearsal and evaluation; auto = the first of them that can be used here."""

    CHOICES: ClassVar = {"runtime": RUNTIMES}

    def __post_init__(self) -> None:
        at_least(0, self, "resources", "threads", "processes")
        one_of(self.runtime, (AUTO, *RUNTIMES), "resources", "runtime")
        one_of(self.engine, ENGINES, "resources", "engine")
