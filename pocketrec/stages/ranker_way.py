# SPDX-License-Identifier: Apache-2.0
"""Whether a run's ranker of the second stage ships, and what that makes of the way ``ranker``, which trains it."""

from __future__ import annotations

import dataclasses
from typing import Final

from pocketrec.cloud.base.runs import Run, read_json
from pocketrec.cloud.config.personalise import PersonaliseConfig
from pocketrec.cloud.config.run import RunConfig
from pocketrec.device.contract.names import RANKER_WAY

#: What the slice before the cut-off said of the ranker.
VERDICT_FILE: Final = "rank/rank.json"
_INSTEAD: Final = PersonaliseConfig().way


def ranks(config: RunConfig) -> bool:
    """Whether a run has a ranker of its second stage."""
    return config.ranker.second and config.split.personal


def rehearses_ranker(config: RunConfig) -> bool:
    """Whether the rehearsal tries the way ``ranker``, where the ranker ships."""
    return ranks(config) and RANKER_WAY in config.rehearse.ways


def ships(run: Run) -> bool:
    """Whether the run's ranker ships."""
    return ranks(run.config) and bool(read_json(run.folder / VERDICT_FILE).get("ships"))


def personalise_of(run: Run) -> PersonaliseConfig:
    """Table ``[personalise]``, with another way where it names the way ``ranker`` and no ranker ships."""
    config = run.config.personalise
    return config if config.way != RANKER_WAY or ships(run) else dataclasses.replace(config, way=_INSTEAD)


def layer_way(config: RunConfig) -> str:
    """The way of table ``[personalise]``, for a file of a model without a ranker, which nobody trains."""
    return _INSTEAD if config.personalise.way == RANKER_WAY else config.personalise.way


def tried_ways(run: Run) -> list[str]:
    """Ways that the rehearsal tries: those of the configuration, without ``ranker`` where no ranker ships."""
    ways = run.config.rehearse.ways
    return ways if ships(run) else [way for way in ways if way != RANKER_WAY] or [_INSTEAD]


def config_of(run: Run) -> RunConfig:
    """The configuration, with no word of a ranker that does not ship."""
    config = run.config
    if ships(run):
        return config
    rehearse = dataclasses.replace(config.rehearse, ways=tried_ways(run)) if config.rehearse.ways else config.rehearse
    return dataclasses.replace(config, ranker=config.ranker.first, personalise=personalise_of(run), rehearse=rehearse)


def left_out(ways: list[str]) -> str:
    """What to say where no ranker ships, and other `ways` stand in for the way ``ranker``."""
    return f"no ranker ships ({VERDICT_FILE}), so the way ranker has nothing to train: {', '.join(ways)} in its place"
