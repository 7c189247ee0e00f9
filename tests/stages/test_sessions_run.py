# SPDX-License-Identifier: Apache-2.0
"""The stages before the training on a log of sessions: what they make, what they leave out, and in which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from pocketrec.cloud.base.runs import Pipeline, Run
from pocketrec.cloud.baselines.files import load_baselines
from pocketrec.cloud.candidates import Candidates
from pocketrec.cloud.config.load import config_from_dict
from pocketrec.stages import STAGES
from pocketrec.stages.baselines import TUNED
from pocketrec.stages.bundles import bundle_content
from pocketrec.stages.recipes import has_rehearsal, recipe_of

SMALL = {
    "data": {"set": "synthetic", "synthetic": {"users": 40, "items": 60, "events": 60}},
    "candidates": {"k": 10, "als": {"factors": 8}},
}


def candidates_of(folder: Path, kind: str) -> list[str]:
    split = {"kind": kind, "gap": 1800.0} if kind == "sessions" else {"kind": kind}
    config, lines = config_from_dict({**SMALL, "split": split}), []
    run = Run(config, folder, lines.append)
    Pipeline(STAGES, run).execute(["candidates"])
    sets = Candidates.load(folder / "candidates" / "candidates.npz")
    content = bundle_content(run, recipe_of(config.personalise))
    assert (content.candidates is None) == (kind == "sessions") == (not len(sets.users))
    assert len(sets.popular) == 10
    assert has_rehearsal(config) == (kind != "sessions")
    assert (folder / TUNED).exists(), "item-kNN is tuned on every log"
    return lines


@pytest.mark.parametrize("kind", ["sessions", "quantile"])
def test_no_als_and_no_sets_for_what_never_comes_back(tmp_path: Path, kind: str) -> None:
    said = "\n".join(candidates_of(tmp_path, kind))
    sessions = kind == "sessions"
    assert (tmp_path / "baselines" / "als").exists() != sessions
    assert ("als" in load_baselines(tmp_path / "baselines")) != sessions
    assert ("no candidate sets" in said) == sessions
    assert ("users" in said) != sessions
    assert ("other sessions" in said) == sessions
