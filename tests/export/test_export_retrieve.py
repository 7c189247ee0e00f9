# SPDX-License-Identifier: Apache-2.0
"""The signature that finds items of the whole catalogue, through converter, gate and packed form."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from exported import gated, shaken

from pocketrec.cloud.config.export import ExportConfig
from pocketrec.cloud.config.model import GruOptions, ModelConfig
from pocketrec.device.base.errors import ConfigError, ExportError
from pocketrec.device.contract import packed
from pocketrec.device.contract.retrieval import retrieval_of
from pocketrec.device.engine.model import Model
from pocketrec.device.engine.retrieve import ItemScan
from pocketrec.export.build import ExportedModel, build_tflite
from pocketrec.export.gate import gate, retrieved
from pocketrec.export.graph import retrieve

ITEMS, K = 60, 20
CONFIG = ModelConfig(embedding=8, window=3, dropout=0.0, tables={"gru": GruOptions(hidden=4, layers=1)})


@functools.cache
def _model() -> keras.Model:
    return shaken(CONFIG, ITEMS, 0.2)


def _export(**options: Any) -> ExportedModel:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retrieve, "CHUNK", 16)  # four chunks, the last of 12
        return build_tflite(_model(), CONFIG, ExportConfig(batch=2, **options), way="head", optimizer="sgd",
                            candidates=5)  # fmt: skip


@functools.cache
def _found() -> ExportedModel:
    return _export(retrieve=K)


def test_the_gate_finds_the_best_items_on_every_runtime_and_the_file_comes_back_from_its_packed_form() -> None:
    made = _found()
    gated(made, _model())
    assert packed.fill(made.skeleton, made.coded) == made.content
    told = retrieval_of(made.retrieval, ITEMS, len(made.content))
    assert (told.k, told.table.rows, told.table.columns, told.kind) == (K, ITEMS + 1, 8, "exhaustive")
    assert made.model["flop"]["retrieve"] == made.model["flop"]["embed"] + 2 * ITEMS * 8


@pytest.mark.long
@pytest.mark.parametrize("options", [{"item_table": "float32"}, {"item_bits": 4}, {"full_softmax_limit": 0}])
def test_the_gate_passes_with_other_tables_and_losses(options: dict[str, Any]) -> None:
    made = _export(retrieve=1000, **options)
    assert made.retrieval["k"] == ITEMS, "no more than there are"
    assert bool(made.retrieval["table"]["scales_offset"]) == (options.get("item_table") != "float32")
    gated(made, _model())
    assert packed.fill(made.skeleton, made.coded) == made.content


@pytest.mark.parametrize("k", [7, 20, 60])
def test_equal_items_come_in_the_order_of_their_rows_over_all_chunks(tmp_path: Path, k: int) -> None:
    """Three rows stand for all items, so nearly every score is one of equals; K is below and above a chunk."""
    model, rng = shaken(CONFIG, ITEMS, 0.2), np.random.default_rng(k)
    table = np.concatenate([np.zeros((1, 8)), rng.normal(size=(3, 8))[rng.integers(0, 3, ITEMS)]]).astype(np.float32)
    next(layer for layer in model.layers if layer.name == "item_embedding").set_weights([table])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retrieve, "CHUNK", 16)
        made = build_tflite(model, CONFIG, ExportConfig(batch=2, retrieve=k), way="head", optimizer="sgd", candidates=5)
    made.save(tmp_path, {})
    runner = Model(tmp_path / "model.tflite", "ai_edge_litert", items=ITEMS)
    scan = ItemScan(tmp_path / "model.tflite", retrieval_of(made.retrieval, ITEMS, len(made.content)).table)
    for window in rng.integers(1, ITEMS + 1, (5, 1, 3)).astype(np.int32):
        rows, scores = runner.retrieve(window)
        expected, values = scan.best(runner.embed(window), k)
        np.testing.assert_array_equal(rows, expected)
        np.testing.assert_allclose(scores, values, rtol=1e-5, atol=1e-6)


def _outputs(made: ExportedModel) -> dict[str, np.ndarray]:
    users = np.random.default_rng(1).normal(size=(3, 8)).astype(np.float32)
    scores = users @ made.item_embeddings[1:].T
    rows = (np.argsort(-scores, axis=1)[:, :K] + 1).astype(np.int32)
    values = -np.sort(-scores, axis=1)[:, :K]
    return {"embeddings": users, "trained": users, **{
        f"{name}{suffix}": array for suffix in ("", "_trained")
        for name, array in (("retrieved", rows), ("retrieved_scores", values))
    }}  # fmt: skip


@pytest.mark.parametrize("suffix", ["", "_trained"])
def test_the_gate_refuses_items_that_are_not_the_best(suffix: str) -> None:
    made = _found()
    right = _outputs(made)
    retrieved.check_retrieval("here", made, right, gate.SCORE_BOUND)
    rows, scores = right[f"retrieved{suffix}"], right[f"retrieved_scores{suffix}"]
    for name, wrong in (
        ("retrieved", np.where(rows == rows[1, 3], 0, rows)),  # padding
        ("retrieved", np.concatenate([rows[:, :1], rows[:, :-1]], axis=1)),  # one twice
        ("retrieved", np.concatenate([rows[:, :-1], rows[:, :1] * 0 + 61], axis=1)),  # outside
        ("retrieved", rows[:, ::-1]),  # worst first
        ("retrieved_scores", scores + 1e-3),
    ):
        with pytest.raises(ExportError, match="on here retrieve does not give the 20 best items"):
            retrieved.check_retrieval("here", made, {**right, f"{name}{suffix}": wrong}, gate.SCORE_BOUND)


def test_the_gate_refuses_a_table_that_lies_elsewhere() -> None:
    made = _found()
    table = {**made.retrieval["table"], "offset": made.retrieval["table"]["offset"] + 8}
    moved = dataclasses.replace(made, retrieval={**made.retrieval, "table": table})
    with pytest.raises(ExportError, match="numpy finds another item table"):
        retrieved.check_retrieval("here", moved, _outputs(made), gate.SCORE_BOUND)


def test_what_cannot_be_retrieved_from_is_refused_in_one_line() -> None:
    blocks = dataclasses.replace(CONFIG, item_blocks=[[0.5, 8], [0.5, 4]])
    with pytest.raises(ConfigError, match=r"one block: set model.item_blocks = \[\]"):
        build_tflite(shaken(blocks, ITEMS, 0.2), blocks, ExportConfig(retrieve=5), way="head", optimizer="sgd",
                     candidates=5)  # fmt: skip
    with pytest.raises(ConfigError, match=r"ranker\.kind 'cosine' has none"):
        build_tflite(_model(), CONFIG, ExportConfig(retrieve=5), way="head", optimizer="sgd", candidates=5,
                     ranker="cosine")  # fmt: skip
