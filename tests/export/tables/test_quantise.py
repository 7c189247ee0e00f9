# SPDX-License-Identifier: Apache-2.0
"""Quantised weights, and the transport form of whole model files."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from pocketrec.cloud.backbones import build_model
from pocketrec.cloud.config.export import ExportConfig
from pocketrec.cloud.config.model import GruOptions, ModelConfig
from pocketrec.device.contract import packed
from pocketrec.device.engine.model import Model
from pocketrec.export.build import build_tflite
from pocketrec.export.gate import gate
from pocketrec.export.tables.quantise import quantise, quantise_rows

ITEMS = 300
CONFIG = ModelConfig(embedding=24, window=2, dropout=0.0, tables={"gru": GruOptions(hidden=32, layers=1)})


def _model(seed: int):
    """A model with 70 % of its GRU kernels zero and no other value that is."""
    model = build_model(CONFIG, ITEMS, seed)
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        values = variable.numpy() + rng.normal(0, 0.1, variable.shape)
        if "gru" in variable.path and "kernel" in variable.path:
            values = np.where(rng.random(values.shape) < 0.7, 0.0, values)
        variable.assign(values)
    return model


def _export(seed: int = 1, way: str = "partial", optimizer: str = "adagrad", **options):
    """Made once for all tests that want the same: converting takes seconds."""
    return _converted(seed, way, optimizer, tuple(options.items()))


@functools.cache
def _converted(seed: int, way: str, optimizer: str, options: tuple):
    export = ExportConfig(batch=2, **dict(options))
    return build_tflite(_model(seed), CONFIG, export, way=way, optimizer=optimizer, candidates=5)


@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("axis", [0, 1])
def test_error_is_at_most_half_a_step_and_zeros_stay(bits: int, axis: int):
    rng = np.random.default_rng(bits)
    values = rng.normal(size=(30, 20)).astype(np.float32)
    values[rng.random(values.shape) < 0.5] = 0.0
    values[:, 3] = 0.0
    made = quantise(values, bits, axis)
    assert np.abs(made.numbers).max() == 2 ** (bits - 1) - 1
    assert (np.abs(made.values - values) <= made.scales / 2 * 1.000001).all()
    assert not made.values[values == 0].any()
    assert not (made.scales.view(np.uint32) & 0xFFFF).any(), "two bytes tell a scale"


@pytest.mark.parametrize("bits", [8, 4])
def test_rows_that_are_searched_keep_the_scores_of_users_made_of_them(bits: int):
    """Rows lie mostly in 6 of 24 directions. Scores of users there err less than with each entry rounded for itself,
    numbers and scales keep their bounds, and equal rows stay equal."""
    rng = np.random.default_rng(bits)
    directions = rng.normal(size=(6, 24))
    values = (rng.normal(size=(9000, 6)) @ directions + 0.2 * rng.normal(size=(9000, 24))).astype(np.float32)
    values[0], values[17], values[8999] = 0.0, 0.0, values[40]
    users = values[1:4001].reshape(1000, 4, 24).mean(axis=1)
    plain, made = quantise(values, bits, axis=1), quantise_rows(values, bits)
    np.testing.assert_array_equal(made.scales, plain.scales)
    assert np.abs(made.numbers.astype(int)).max() == 2 ** (bits - 1) - 1
    assert not made.numbers[[0, 17]].any()
    np.testing.assert_array_equal(made.numbers[40], made.numbers[8999])
    exact = users @ values.T
    before, after = (float(np.square(users @ table.values.T - exact).mean()) for table in (plain, made))
    assert after < 0.5 * before, (before, after)


def test_rows_without_any_length_are_rounded_too():
    assert not quantise_rows(np.zeros((3, 4), np.float32), 8).numbers.any()
    assert quantise_rows(np.ones((1, 4), np.float32), 8).numbers.tolist() == [[126] * 4]


FEW = {"weight_bits": 4, "item_bits": 5}


def test_gate_passes_with_few_bits_and_pruned_weights():
    """The graph holds the dequantised weights, zeros included, and computes what Keras computes with them."""
    exported = _export(**FEW)
    report = gate.check(exported, _model(1), seed=1)
    assert all(found["score"] <= 1e-4 for found in report.runtimes.values())
    kernel = exported.weights["gru_1_recurrent_kernel"]
    assert (kernel == 0).mean() >= 0.7
    assert len(np.unique(kernel[:, 0])) <= 15


@pytest.mark.parametrize(
    ("keep", "optimizer"),
    [
        (True, "adagrad"),
        pytest.param(True, "adam", marks=pytest.mark.long),
        (False, "adagrad"),
        pytest.param(False, "adam", marks=pytest.mark.long),
    ],
)
def test_pruned_zeros_stay_zero_in_device_training_or_are_filled(tmp_path, keep, optimizer):
    """Feature D14: whichever is asked for, on the device's own code, after a state was brought in as well."""
    exported = _export(optimizer=optimizer, **(FEW if keep else {"keep_pruned": False}))
    assert exported.model["pruned"] == (["gru_1_kernel", "gru_1_recurrent_kernel"] if keep else [])
    (tmp_path / "model.tflite").write_bytes(exported.content)
    model = Model(tmp_path / "model.tflite", "ai_edge_litert")
    rng = np.random.default_rng(0)
    for _ in range(3):
        model.import_weights(model.export_weights())
        model.train(*(rng.integers(1, ITEMS + 1, (2, CONFIG.window), dtype=np.int32) for _ in range(2)), 0.05, 0.1)
    before, after = exported.weights, model.export_weights()
    for name in ("gru_1_kernel", "gru_1_recurrent_kernel"):
        zero = before[name] == 0
        assert bool(after[name][zero].any()) is not keep
        assert (after[name] != before[name])[~zero].mean() > 0.9
    assert (after["gru_1_bias"] != before["gru_1_bias"]).any()
    if keep and optimizer == "adam":  # the gate has seen adagrad above
        gate.check(exported, _model(1), seed=1)


def test_an_update_needs_no_new_skeleton():
    """The skeleton is the same for every model of one configuration: only weights travel for the next one."""
    first, second = _export(1, **FEW), _export(2, **FEW)
    assert first.content != second.content
    assert first.skeleton == second.skeleton
    assert packed.fill(second.skeleton, second.coded) == second.content


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"weight_bits": 32}, marks=pytest.mark.long),  # `pack` refuses what does not come back
        FEW,
        pytest.param({"item_table": "float32", "way": "head"}, marks=pytest.mark.long),
        pytest.param({"way": "whole"}, marks=pytest.mark.long),
    ],
)
def test_packed_gives_back_the_file(options):
    exported = _export(**options)
    assert packed.fill(exported.skeleton, exported.coded) == exported.content
    assert len(exported.skeleton) + len(exported.coded) < len(exported.content) / 2 or options.get("item_table")
