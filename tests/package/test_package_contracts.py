# SPDX-License-Identifier: Apache-2.0
"""The contracts that our own implementations are held to, for those of an installed package."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from laid import lay

from pocketrec.device.contract.layers import LayerSpec
from pocketrec.device.contract.rankers import RANKERS as DEVICE_RANKERS

TESTS = Path(__file__).resolve().parents[1]


def _contract(path: str) -> ModuleType:
    """A test module of another folder, under a name of its own."""
    name = "contract_" + path.replace("/", "_").removesuffix(".py")
    spec = importlib.util.spec_from_file_location(name, TESTS / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


models = _contract("cloud/backbones/test_models.py")
layers = _contract("export/layers/test_layers.py")
ways = _contract("cloud/ways/test_ways.py")
rankers = _contract("cloud/rankers/test_rankers.py")
graph_rankers = _contract("export/rankers/test_graph_rankers.py")
baselines = _contract("cloud/baselines/test_baselines.py")
candidates = _contract("cloud/candidates/test_candidates.py")


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The package, for the tests of this file alone: those of other files count the lines of the tables."""
    site = str(lay(tmp_path_factory.mktemp("site")))
    sys.path.insert(0, site)
    yield
    sys.path.remove(site)


class TestMean(models.BackboneContract):  # type: ignore[name-defined, misc]
    name = "mean"

    def test_it_is_the_mean_of_the_items_so_far(self) -> None:
        model = self.model()
        table, (kernel, bias) = models.input_embeddings(model), model.get_layer("fc").get_weights()
        out = np.asarray(model(np.array([[3, 1, 4, 0]], np.int32)))[0]
        for step, own in enumerate(([3], [3, 1], [3, 1, 4], [3, 1, 4])):
            np.testing.assert_allclose(out[step], table[own].mean(0) @ kernel + bias, atol=1e-6)


class TestMeanLayer(layers.LayerContract):  # type: ignore[name-defined, misc]
    kind = "mean"

    def spec(self) -> LayerSpec:
        return LayerSpec("mean", "mean", (), 4, 4, {"window": layers.STEPS})

    def expected(self, x: tf.Tensor, mask: tf.Tensor, value: dict[str, tf.Variable]) -> tf.Tensor:
        from ours.mean import CausalMean

        return CausalMean()(x, mask=mask)


class TestBiases(ways.WayContract):  # type: ignore[name-defined, misc]
    name = "biases"
    trains = {  # noqa: RUF012
        "gru": ["gru_1", "gru_2", "fc"], "blocks": ["conv_1", "norm_1", "conv_2", "norm_2", "fc"],
        "mingru": [*(f"{name}_{place}" for place in (1, 2) for name in ("mingru", "out", "ffn_in", "ffn_out")), "fc"],
    }  # fmt: skip

    def test_it_trains_nothing_but_biases(self) -> None:
        trained = ways.apply(self.name, ways.GRU, ways.OPTIONS).trained
        assert trained == ("gru_1_bias", "gru_2_bias", "fc_bias")


class TestCosine(rankers.RankerContract):  # type: ignore[name-defined, misc]
    kind = "cosine"

    def test_by_hand_in_the_cloud_and_on_a_device(self) -> None:
        users, items = np.array([[3, 4]], np.float32), np.array([[6, 8], [4, -3], [0, 0]], np.float32)
        np.testing.assert_allclose(self.ranker().scores(users, items), [[10, 0, 0]], atol=1e-5)
        np.testing.assert_allclose(DEVICE_RANKERS.load("cosine")(users[0], items), [10, 0, 0], atol=1e-5)

    def test_a_device_scores_as_the_cloud_does(self) -> None:
        of_device = DEVICE_RANKERS.load("cosine")(rankers.USERS[1, 2], rankers.TABLE)
        assert of_device.dtype == np.float32
        np.testing.assert_allclose(of_device, self.ranker().scores(rankers.USERS, rankers.TABLE)[1, 2], atol=1e-5)


class TestCosineGraph(graph_rankers.RankerContract):  # type: ignore[name-defined, misc]
    name = "cosine"


class TestFresh(baselines.BaselineContract):  # type: ignore[name-defined, misc]
    name = "fresh"

    def test_the_latest_item_is_first(self) -> None:
        from ours.fresh import Fresh
        from ours.lines import FreshOptions

        past = baselines.Past(baselines.log_of({"a": [3, 5, 3], "b": [2]}), 6)
        assert baselines.order(Fresh.fit(FreshOptions(), past).scores(np.zeros(0, int))) == [2, 3, 5, 1, 4, 6]
        assert baselines.order(Fresh.fit(FreshOptions(first=True), past).scores(np.zeros(0, int)))[:3] == [2, 5, 3]


class TestLatest(candidates.CandidateContract):  # type: ignore[name-defined, misc]
    name = "latest"

    @property
    def options(self) -> Any:
        from ours.lines import LatestOptions

        return LatestOptions(own=3)

    def test_own_items_come_first_the_latest_before_all(self) -> None:
        before = candidates.sequences_of({"a": [9, 4, 9, 1, 7]})
        assert self.sets(before, 6).rows[0].tolist() == [7, 1, 9, 2, 3, 4]
