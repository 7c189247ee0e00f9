# SPDX-License-Identifier: Apache-2.0
"""Where a user embedding meets item rows: one method of the model, and the ranker that the manifest names."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pocketrec.device import Recommender, open_bundle
from pocketrec.device.base.array import Array
from pocketrec.device.base.choices import Choice
from pocketrec.device.base.errors import BundleError
from pocketrec.device.contract.manifest import Manifest
from pocketrec.device.contract.rankers import RANKERS
from pocketrec.device.contract.repeats import Repeats
from pocketrec.device.engine.model import Model
from pocketrec.device.engine.scores import inner_product, ranker_of
from pocketrec.device.personal.training import evaluate_targets
from pocketrec.device.personal.windows import context


def halved(embedding: Array, items: Array) -> Array:
    """A stranger's ranker: half the inner product."""
    scores: Array = np.float32(0.5) * (items @ embedding)
    return scores


@pytest.mark.parametrize("name", list(RANKERS))
def test_every_line_of_the_table_loads_and_gives_a_score_for_each_row(name: str) -> None:
    rng = np.random.default_rng(1)
    embedding, items = rng.random(4, np.float32), rng.random((7, 4), np.float32)
    scores = ranker_of(name)(embedding, items)
    assert (scores.shape, scores.dtype) == ((7,), np.float32)
    np.testing.assert_array_equal(ranker_of(name)(embedding, items[[2, 5]]), scores[[2, 5]])


def test_inner_products() -> None:
    items = np.float32([[1, 0], [2, 3], [0, 0]])
    np.testing.assert_array_equal(inner_product(np.float32([10, 1]), items), np.float32([10, 23, 0]))


def test_an_unknown_ranker_is_one_line() -> None:
    with pytest.raises(BundleError, match=r"^ranker .no. is not known: it is one of inner_product, ranknet: update"):
        ranker_of("no")


@pytest.mark.runtime
def test_scores_are_those_of_the_files_own_signature(model: Model) -> None:
    window = context(np.array([3, 4, 9], np.int32), model.window)
    rows = np.arange(1, model.candidates + 1, dtype=np.int32)
    embedding = model.embed(window)
    np.testing.assert_allclose(model.scores(embedding, rows), model.infer(window, rows), rtol=1e-5, atol=1e-6)
    assert model.scores(embedding).shape == (model.items + 1,)
    np.testing.assert_allclose(model.scores(embedding)[rows], model.scores(embedding, rows), rtol=1e-6, atol=1e-7)
    with pytest.raises(ValueError, match="items=N"):
        Model(model._path).scores(embedding)


@pytest.mark.runtime
def test_the_guard_judges_by_the_ranker(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RANKERS.own, "halved", Choice(f"{__name__}:halved", "half the inner product"))
    path, rows = made / "model.tflite", np.array([3, 4, 9, 3, 4], np.int32)
    plain, other = Model(path, items=60), Model(path, items=60, ranker="halved")
    embedding = plain.embed(context(rows, plain.window))
    np.testing.assert_array_equal(other.scores(embedding), np.float32(0.5) * plain.scores(embedding))
    losses = [evaluate_targets(model, rows, 2, Repeats(0.0))[0] for model in (plain, other)]
    assert not np.allclose(*losses)


def test_a_manifest_names_its_ranker_only_where_it_is_another(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = (folder / "manifest.json").read_bytes()
    manifest = Manifest.from_bytes(content, "here")
    assert manifest.ranker == "inner_product"
    assert manifest.to_bytes() == content  # as before there were rankers
    assert b"ranker" not in content
    table = json.loads(content)
    message = r"its ranker 'no' is not known here \(known: inner_product, ranknet\): install"
    with pytest.raises(BundleError, match=message) as caught:
        Manifest.from_bytes(json.dumps({**table, "ranker": "no"}).encode(), "here")
    assert "\n" not in str(caught.value)
    for wrong in (None, 3, ["inner_product"]):
        with pytest.raises(BundleError, match="ranker must be a text"):
            Manifest.from_bytes(json.dumps({**table, "ranker": wrong}).encode(), "here")
    monkeypatch.setitem(RANKERS.own, "halved", Choice(f"{__name__}:halved", "half the inner product"))
    named = dataclasses.replace(manifest, ranker="halved").to_bytes()
    assert Manifest.from_bytes(named, "here").ranker == "halved"


@pytest.mark.runtime
def test_a_bundle_opens_its_model_with_the_ranker(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RANKERS.own, "halved", Choice(f"{__name__}:halved", "half the inner product"))
    copy = Path(shutil.copytree(folder, tmp_path / "other"))
    manifest = dataclasses.replace(open_bundle(folder).manifest, ranker="halved")
    (copy / "manifest.json").write_bytes(manifest.to_bytes())
    embedding = np.ones(8, np.float32)
    plain, other = Recommender(folder).model, Recommender(copy).model
    np.testing.assert_array_equal(other.scores(embedding), np.float32(0.5) * plain.scores(embedding))
