# SPDX-License-Identifier: Apache-2.0
"""The stages of a run on a log of sessions: what they make, what they leave out, and in which words."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pocketrec.cloud.backbones import item_embeddings, load_model
from pocketrec.cloud.base.runs import Pipeline, Run
from pocketrec.cloud.baselines.files import load_baselines
from pocketrec.cloud.candidates import Candidates
from pocketrec.cloud.config.load import config_from_dict
from pocketrec.cloud.config.ranker import INNER_PRODUCT
from pocketrec.cloud.data.prepared import load_devices
from pocketrec.cloud.evaluation.ranking import Places
from pocketrec.cloud.evaluation.scoring import embed_positions
from pocketrec.cloud.rankers import make_ranker
from pocketrec.device import Recommender
from pocketrec.device.contract.neighbours import NEIGHBOURS_FILE, Neighbours
from pocketrec.stages import STAGES
from pocketrec.stages.baselines import TUNED
from pocketrec.stages.bundles import bundle_content
from pocketrec.stages.neighbours import BLENDED, strength_in_words
from pocketrec.stages.recipes import has_blending, has_rehearsal, recipe_of

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


def run_of(folder: Path) -> list[str]:
    """A whole run of a log of sessions."""
    model = {"embedding": 8, "window": 5, "gru": {"hidden": 8, "layers": 1}}
    config = config_from_dict({
        **SMALL, "data": {"set": "synthetic", "synthetic": {"users": 200, "items": 30, "events": 15}},
        "split": {"kind": "sessions", "gap": 3600.0}, "model": model,
        "train": {"epochs": 1, "batch": 32, "validation": 0.0}, "refit": {"enabled": True},
    })  # fmt: skip
    lines: list[str] = []
    run = Run(config, folder, lines.append)
    Pipeline(STAGES, run).execute(["fleet", "refit"])
    return lines


def test_what_devices_recommend_by_has_the_neighbours_that_helped(tmp_path: Path) -> None:
    """Found on the earlier cut, shipped, evaluated as a device ranks, and shipped again by the refit."""
    lines = run_of(tmp_path)
    found = json.loads((tmp_path / BLENDED).read_bytes())
    assert found["strength"] > 0, "a network after one epoch knows less than counting"
    assert any(line.strip().startswith("neighbours: strength") and "sessions by strength" in line for line in lines)
    metrics = json.loads((tmp_path / "metrics.json").read_bytes())
    assert metrics["verdict"]["system"] == "neighbours"
    assert metrics["neighbours"]["mrr@20"] > metrics["global"]["mrr@20"]
    assert metrics["bytes"]["neighbours"] == (tmp_path / "bundle" / NEIGHBOURS_FILE).stat().st_size
    assert (tmp_path / "refit" / "bundle" / NEIGHBOURS_FILE).exists()
    assert not (tmp_path / "rehearse").exists()
    after = load_devices(tmp_path).after
    place = next(place for place in range(len(after)) if (after.of(place)[0] > 0).sum() > 3)
    rows = after.of(place)[0]
    rows = rows[rows > 0]
    with Recommender(tmp_path / "bundle", user="nobody", state=tmp_path / "state") as device:
        ids = (tmp_path / "data" / "cloud" / "items.txt").read_text().split("\n")[:-1]
        device.add([(ids[row - 1], float(at)) for at, row in enumerate(rows[:3])])
        ranked = [item for item, _ in device.recommend(30, candidates=list(ids))]
    model = load_model(tmp_path / "train" / "model.keras")
    near = Neighbours.from_bytes((tmp_path / "bundle" / NEIGHBOURS_FILE).read_bytes(), len(ids))
    places = Places.of(after.select(np.array([place])), len(ids), 5)
    embedded = embed_positions(model, places.where)
    scores = places.by_embedding(embedded, item_embeddings(model), make_ranker(INNER_PRODUCT))
    best = np.argsort(-places.with_neighbours(scores, near)(slice(2, 3))[0, 1:])
    assert ranked[:5] == [ids[row] for row in best[:5]]


def test_no_neighbours_where_none_are_asked_for(tmp_path: Path) -> None:
    for number, options in enumerate(({"neighbours": 0}, {"enabled": False})):
        config = config_from_dict({**SMALL, "split": {"kind": "sessions"}, "rehearse": options})
        assert not has_blending(config)
        run = Run(config, tmp_path / str(number), lambda line: None)
        assert Pipeline(STAGES, run).execute(["neighbours"]) == []
        assert strength_in_words(run) == "neighbours: not tried"


@pytest.mark.parametrize("lengths", [[6], [1, 1, 1, 1, 6]])
def test_a_past_that_cannot_be_cut_again_is_served_by_the_network(tmp_path: Path, lengths: list[int]) -> None:
    """One session before the cut-off, or before the earlier cut only such as nothing can be learned from: that is said,
    and the run goes on."""
    rows = ["user,item,timestamp,split"]
    rows += [f"s{number},i{item},{100 * number + item},{'train' if number < len(lengths) else 'test'}"
             for number, length in enumerate([*lengths, 6, 6]) for item in range(length)]  # fmt: skip
    (tmp_path / "log.csv").write_text("\n".join(rows) + "\n")
    config = config_from_dict({
        "data": {"path": str(tmp_path / "log.csv")}, "split": {"kind": "column", "anonymous": True},
        "model": {"embedding": 4, "window": 4, "gru": {"hidden": 4, "layers": 1}},
        "train": {"epochs": 1, "batch": 4, "validation": 0.0},
    })  # fmt: skip
    lines: list[str] = []
    Pipeline(STAGES, Run(config, tmp_path / "run", lines.append)).execute(["neighbours"])
    assert any("too short to be cut again" in line for line in lines)
    assert json.loads((tmp_path / "run" / BLENDED).read_bytes())["strength"] == 0
