# SPDX-License-Identifier: Apache-2.0
"""Every backbone: embeddings, losses, scores and decisions of the Java runner are those of Python.

The ready bundles have a GRU, one that sees both sides (GRec), NextItNet with an adapter, a ranker, and packed and lean
tables. The long suite exports each other backbone.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import by_java
import numpy as np
import pytest
from by_java import JAVA
from java_recommender import JavaRecommender
from loyal import loyal

from pocketrec.device import Recommender
from pocketrec.device.delivery.bundle import open_bundle
from pocketrec.export.bundle.content import BundleContent
from pocketrec.export.bundle.write import write_bundle_files

pytestmark = [pytest.mark.java, pytest.mark.skipif(not JAVA, reason="run by `make test-android`")]
globals().update(by_java.cases("device/conftest.py", {}, ()))

EVENTS = [(f"item {row}", 1000.0 + place) for place, row in enumerate(loyal(40))]


def compare(folder: Path, tmp_path: Path) -> None:
    """Before training, after it, after a state that one has saved and the other continues, and resumed."""
    python, java_one = Recommender(folder, user="u3"), JavaRecommender(folder, user="u3", state=tmp_path / "state")

    def same() -> None:
        np.testing.assert_allclose(java_one.embed(), python.embed(), atol=1e-5)
        expected, found = (one.recommend(20, now=5000.0) for one in (python, java_one))
        np.testing.assert_allclose([score for _, score in found], [score for _, score in expected], atol=1e-4)
        assert _order(found) == _order(expected)

    for one in (python, java_one):
        one.add(EVENTS[:25])
    same()
    reports = [python.personalise(EVENTS[25:]).to_dict(), java_one.personalise(EVENTS[25:])]
    np.testing.assert_allclose(reports[1].pop("losses"), reports[0].pop("losses"), rtol=1e-4)
    gains = [report.pop("expected_gain") for report in reports]
    assert gains[1] == pytest.approx(gains[0], abs=1e-5)
    assert reports[1] == {name: reports[0][name] for name in reports[1]}
    same()
    java_one.save()
    java_one.close()
    with Recommender(folder, user="u3", state=tmp_path / "state") as continued:
        np.testing.assert_allclose(continued.embed(), python.embed(), atol=1e-5)
        losses = continued.personalise(resume=True).to_dict()["losses"]
    java_one = JavaRecommender(folder, user="u3", state=tmp_path / "state")
    np.testing.assert_allclose(java_one.personalise(resume=True)["losses"], losses, rtol=1e-4)


def _order(ranked: list[tuple[str, float]]) -> list[tuple[str, ...]]:
    """Items by rank; those within rounding of each other may stand in either order."""
    groups: list[list[tuple[str, float]]] = []
    for item, score in ranked[:-1]:  # the last one may stand beside one that was left out
        if groups and abs(groups[-1][-1][1] - score) < 1e-5:
            groups[-1].append((item, score))
        else:
            groups.append([(item, score)])
    return [tuple(sorted(item for item, _ in group)) for group in groups]


@pytest.mark.parametrize("form", ["", "cloze", "tasks", "ranked", "retrieve", "packed", "lean"])
def test_bundles_that_are_ready(made: Path, tmp_path: Path, form: str) -> None:
    """GRU, GRec, NextItNet with an adapter, GRU with a ranker, with retrieval, packed, lean."""
    source = made.with_name(f"{made.name}.{form}" if form else made.name)
    folder = Path(shutil.copytree(source, tmp_path / "bundle", ignore=shutil.ignore_patterns(".verified*")))
    compare(folder, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("way", ["partial", "whole"])
@pytest.mark.parametrize("name", ["mingru", "nextitnet", "sasrec", "towers"])
def test_backbones_exported_here(folder: Path, tmp_path: Path, name: str, way: str) -> None:
    from pocketrec.cloud.backbones import build_model
    from pocketrec.cloud.config.export import ExportConfig
    from pocketrec.cloud.config.model import ModelConfig
    from pocketrec.export.build import build_tflite

    config = ModelConfig(backbone=name, embedding=8, window=6)
    made = build_tflite(build_model(config, 60, 1), config, ExportConfig(batch=4), way=way, optimizer="adagrad",
                        candidates=10)  # fmt: skip
    old = open_bundle(folder)
    write_bundle_files(
        tmp_path / name, BundleContent(
            model_file=made.content, items=old.vocabulary.ids(range(1, 61)), recipe=old.recipe, card="",
            model=made.model, tensors=made.tensors, cut_off=old.manifest.cut_off,
            candidates=(["u3"], np.arange(1, 26)[None]),
    ))  # fmt: skip
    compare(tmp_path / name, tmp_path)


@pytest.mark.long
def test_a_ranker_that_reads_transitions(folder: Path, tmp_path: Path) -> None:
    """The signature rank looks at the latest events itself, so Java and Python have only to hand the window on."""
    import keras
    from ranker_layer import Tensors

    from pocketrec.cloud.backbones import build_model
    from pocketrec.cloud.config.export import ExportConfig
    from pocketrec.cloud.config.model import ModelConfig
    from pocketrec.cloud.rankers.transitions import FEATURES, Transitions
    from pocketrec.export.build import build_tflite
    from pocketrec.export.second import Ranked

    rng, config = np.random.default_rng(1), ModelConfig(embedding=8, window=6)
    base = build_model(config, 60, 1)
    model = keras.Model(base.inputs[0], Tensors(name="ranker")(base.outputs[0]))
    rows = np.stack([rng.permutation(60)[:9] + 1 for _ in range(61)]).astype(np.int32)
    values = rng.integers(0, 128, (2, 61, 9)).astype(np.int8)
    told = Transitions(rows, values, np.full(2, 0.02, np.float32), np.ones(61, np.float32),
                       rng.normal(0, 0.3, (FEATURES, 6)).astype(np.float32),
                       rng.normal(0, 0.1, FEATURES).astype(np.float32), reach=6)  # fmt: skip
    made = build_tflite(model, config, ExportConfig(batch=4, retrieve=25), way="partial", optimizer="adagrad",
                        candidates=10, ranker=Ranked("ranknet", told))  # fmt: skip
    old = open_bundle(folder)
    write_bundle_files(
        tmp_path / "told", BundleContent(
            model_file=made.content, items=old.vocabulary.ids(range(1, 61)), recipe=old.recipe, card="",
            model=made.model, tensors=made.tensors, cut_off=old.manifest.cut_off, ranker=made.ranker,
            retrieval=made.retrieval,
    ))  # fmt: skip
    compare(tmp_path / "told", tmp_path)
