# SPDX-License-Identifier: Apache-2.0
"""RankNet in the exported file: the signature rank, and the way that trains its tensors on the device."""

from __future__ import annotations

import dataclasses
import functools
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from exported import gated, shaken
from ranker_layer import Tensors

from pocketrec.cloud.config.export import ExportConfig
from pocketrec.cloud.config.model import GruOptions, ModelConfig
from pocketrec.cloud.config.nextitnet import GrecOptions
from pocketrec.cloud.rankers.transitions import FEATURES, Transitions
from pocketrec.device.base.errors import ConfigError, ExportError
from pocketrec.device.contract import packed
from pocketrec.export.build import ExportedModel, build_tflite
from pocketrec.export.gate import gate
from pocketrec.export.gate.reference import Reference
from pocketrec.export.gate.retrieved import ranked
from pocketrec.export.rankers.ranknet import RankNet
from pocketrec.export.second import Ranked

ITEMS = 60
CONFIG = ModelConfig(embedding=8, window=3, dropout=0.0, tables={"gru": GruOptions(hidden=4, layers=1)})


@functools.cache
def _model(zero: bool = False) -> keras.Model:
    base = shaken(CONFIG, ITEMS, 0.2)
    return keras.Model(base.inputs[0], Tensors(zero, name="ranker")(base.outputs[0]))


def _export(way: str, zero: bool = False, **options: Any) -> ExportedModel:
    return build_tflite(_model(zero), CONFIG, ExportConfig(batch=2, **options), way=way, optimizer="adagrad",
                        candidates=5, ranker="ranknet")  # fmt: skip


def test_the_way_ranker_trains_the_ranker_alone_and_the_gate_passes_on_every_runtime() -> None:
    """Scores, losses and 20 steps are those of the plain form under a tape; embeddings stay bit for bit."""
    made = _export("ranker", negatives=8, retrieve=10)
    gated(made, _model())
    names = [spec["name"] for spec in made.tensors["trainable"]]
    assert names == ["ranker_A", "ranker_b1", "ranker_C", "ranker_b2", "ranker_w3"]
    assert "ranker_B" in {spec["name"] for spec in made.tensors["frozen"]}
    assert (made.model["loss"], made.model["negatives"]) == ("sampled_softmax", 8)
    assert packed.fill(made.skeleton, made.coded) == made.content


@pytest.mark.long
def test_other_ways_leave_the_ranker_and_train_by_the_inner_product(tmp_path: Path) -> None:
    """With w3 = 0 `rank` is `infer`, bit for bit, on each runtime, for any number of candidates."""
    made = _export("head", zero=True, retrieve=9)
    gated(made, _model(zero=True))
    assert not [spec["name"] for spec in made.tensors["trainable"] if spec["name"].startswith("ranker")]
    assert (made.model["rank"], made.model["candidates"], made.model["loss"]) == (9, 5, "full_softmax")
    (tmp_path / "zero.tflite").write_bytes(made.content)
    for runtime in ("ai_edge_litert", *(["tflite_runtime"] if sys.version_info < (3, 12) else [])):
        run = subprocess.run([sys.executable, "-c", _SAME, str(tmp_path), runtime], capture_output=True, text=True,
                             check=False)  # fmt: skip
        assert run.returncode == 0, run.stderr


def test_the_gate_passes_with_a_table_of_transitions() -> None:
    """`rank` reads the window's latest events, on each runtime, before and after training; all else stays the same."""
    rng = np.random.default_rng(4)
    rows = np.stack([rng.permutation(ITEMS)[:7] + 1 for _ in range(ITEMS + 1)]).astype(np.int32)
    values = rng.integers(0, 128, (2, ITEMS + 1, 7)).astype(np.int8)
    rows[0], values[:, 0] = 0, 0
    weights = rng.normal(0, 0.1, (FEATURES, _model().get_layer("ranker").A.shape[1])).astype(np.float32)
    popularity = rng.random(ITEMS + 1).astype(np.float32)
    direct = rng.normal(0, 0.1, FEATURES).astype(np.float32)
    told = Transitions(rows, values, np.array([0.01, 0.02], np.float32), popularity, weights, direct, reach=3)
    other = dataclasses.replace(told, rows=rows[::-1].copy(), values=values[:, ::-1].copy())
    made, without, again = (
        build_tflite(_model(), CONFIG, ExportConfig(batch=2, retrieve=10), way="head", optimizer="adagrad",
                     candidates=5, ranker=Ranked("ranknet", table)) for table in (told, None, other)
    )  # fmt: skip
    assert made.skeleton == again.skeleton, "the next release sends its weights alone, the table among them"
    assert made.coded != again.coded
    assert packed.fill(again.skeleton, again.coded) == again.content
    gated(made, _model())
    assert made.tensors == without.tensors
    assert len(made.content) > len(without.content)
    contexts = np.array([[3, 7, 9], [5, 0, 0]], np.int32)
    one, two = (ranked(_reference(made), RankNet(table), {"contexts": contexts, "candidates": rows[1]}, "")["ranked"]
                for table in (told, None))  # fmt: skip
    assert np.abs(one - two).max() > 1e-3, "the table says something"


def _reference(made: ExportedModel) -> Reference:
    return Reference(_model(), made.item_embeddings, weights=made.weights, layers=made.layers)


# A runtime cannot share a process with TensorFlow.
_SAME = """
import sys
import numpy as np
from pocketrec.device.engine.model import Model
from pocketrec.device.personal.ranking import infer_all
model = Model(f"{sys.argv[1]}/zero.tflite", sys.argv[2], items=60)
rows = np.arange(1, 61, dtype=np.int32)
for items in ([[3, 7, 9]], [[5, 0, 0]]):
    window = np.array(items, np.int32)
    for count in (1, 5, 9, 60):
        np.testing.assert_array_equal(model.rank(window, rows[:count]), infer_all(model, window, rows[:count]))
"""


@pytest.mark.long
@pytest.mark.parametrize(
    ("way", "options"), [("partial", {}), ("ranker", {"item_table": "float32", "weight_bits": 32})]
)
def test_the_gate_passes(way: str, options: dict[str, Any]) -> None:
    gated(_export(way, **options), _model())


@pytest.mark.long
def test_a_model_that_sees_both_sides_gives_one_user_embedding_of_a_window() -> None:
    both = ModelConfig(backbone="grec", embedding=8, window=3, tables={"grec": GrecOptions(dilations=[1])})
    base = shaken(both, ITEMS, 0.2)
    model = keras.Model(base.inputs[0], Tensors(name="ranker")(base.outputs[0]))
    made = build_tflite(model, both, ExportConfig(batch=3, negatives=8), way="ranker", optimizer="adam", candidates=5,
                        ranker="ranknet")  # fmt: skip
    assert (made.model["positions"], made.model["causal"]) == (6, False)
    gated(made, model)


def test_steps_take_positions_and_no_layer_is_run_in_them() -> None:
    """FLOP of a step are those of the network over its pairs; other ways have no positions."""
    made, other = _export("ranker", negatives=8, retrieve=10), _export("head")
    assert made.model["positions"] == 4
    assert "positions" not in other.model
    pairs, (size, one, two) = 4 * 9, (8, 6, 4)
    forward = 2 * (pairs * (size + one * two + two) + (2 * 4 + 8) * size * one)
    assert made.model["flop"]["train"] == 3 * forward


def test_the_gate_refuses_other_scores_of_rank() -> None:
    scores = np.ones((2, 5), np.float32)
    gate.check_ranked("here", {"ranked": scores}, {"ranked": scores}, gate.SCORE_BOUND)
    for wrong in (scores + 1e-3, scores * np.nan):
        with pytest.raises(ExportError, match="on here the scores of rank differ"):
            gate.check_ranked("here", {"ranked": wrong}, {"ranked": scores}, gate.SCORE_BOUND)


def test_a_ranker_without_its_tensors_or_without_the_product_is_one_line() -> None:
    base = shaken(CONFIG, ITEMS, 0.2)
    with pytest.raises(ExportError, match=r"no ranker_A: train the ranker first"):
        build_tflite(base, CONFIG, ExportConfig(), way="head", optimizer="sgd", candidates=5, ranker="ranknet")
    with pytest.raises(ConfigError, match=r"the way ranker trains the tensors of ranknet"):
        build_tflite(base, CONFIG, ExportConfig(), way="ranker", optimizer="sgd", candidates=5)
    model = keras.Model(base.inputs[0], Tensors(name="ranker")(base.outputs[0]))
    model.get_layer("ranker").inner.assign(0.0)
    with pytest.raises(ConfigError, match=r"set ranker\.inner = true"):
        build_tflite(model, CONFIG, ExportConfig(), way="head", optimizer="sgd", candidates=5, ranker="ranknet")
