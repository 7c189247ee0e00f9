# SPDX-License-Identifier: Apache-2.0
"""Candidate sets: K items for each user over one seam, made by name.

A new source is one module with a class that follows `CandidateSource`, one line in `CANDIDATES`
(`pocketrec.cloud.config.candidates`) and one subclass of `CandidateContract` in the tests.
"""

from __future__ import annotations

from pocketrec.cloud.candidates.als import AlsModel, fit_als
from pocketrec.cloud.candidates.sets import Candidates, popular_rows, recall_ceiling
from pocketrec.cloud.candidates.source import CandidateSource, Past
from pocketrec.cloud.config.candidates import CANDIDATES, CandidatesConfig, SourceChoice
from pocketrec.device.base.choices import imported

__all__ = [
    "AlsModel",
    "CandidateSource",
    "Candidates",
    "Past",
    "build",
    "fit_als",
    "popular_rows",
    "recall_ceiling",
    "source",
]


def source(name: str, *, spark: bool = False) -> CandidateSource:
    """The source of this name; `spark`: where its line has one, that for Spark.

    Raises:
        ConfigError: it does not exist.
    """
    choice = CANDIDATES[name]
    if spark and isinstance(choice, SourceChoice) and choice.spark:
        on_spark: CandidateSource = imported(choice.spark)()
        return on_spark
    made: CandidateSource = CANDIDATES.load(name)()
    return made


def build(config: CandidatesConfig, past: Past) -> Candidates:
    """Candidate sets by the method that the configuration names (see `CandidateSource.build`)."""
    return source(config.method, spark=past.spark is not None).build(config.options, config.k, past)
