# SPDX-License-Identifier: Apache-2.0
"""P3, P4, P5, P7: what trains and what stays, an untrained patch, counts, equal batches; losses and steps by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pocketrec.cloud.backbones import backbone, build_model, item_embeddings
from pocketrec.cloud.config.export import ExportConfig
from pocketrec.cloud.config.load import build_config
from pocketrec.cloud.config.model import ModelConfig
from pocketrec.cloud.config.transfer import METHODS, TASK_LOSSES, TransferConfig
from pocketrec.cloud.transfer.methods import Plan, plan
from pocketrec.cloud.transfer.network import HEAD_BIASES, HEAD_ROWS, SOURCE_ITEMS, Network
from pocketrec.cloud.transfer.rows import Rows
from pocketrec.cloud.transfer.tune import load_trial, save_trial, tune
from pocketrec.device.contract.layers import tensors_of
from pocketrec.export.graph.weights import weights_for

ITEMS, TARGETS, WINDOW, SIZE = 11, 6, 5, 8
EXPORT = ExportConfig(adapter=2, adapter_activation="gelu")
BODIES = {
    "nextitnet": {"nextitnet": {"dilations": [1, 2]}},
    "gru": {"gru": {"hidden": 6, "layers": 1}},
    "mingru": {"mingru": {"hidden": 8, "layers": 1}},
}
RNG = np.random.default_rng(5)
LENGTHS = np.array([1, 2, WINDOW, 3])
WINDOWS = np.where(np.arange(WINDOW) < LENGTHS[:, None], RNG.integers(1, ITEMS + 1, (4, WINDOW)), 0).astype(np.int32)
MARKS = np.array([1, 6, 2, 3], np.int32)
OTHERS = np.array([2, 1, 3, 6], np.int32)


def model_config(name: str) -> ModelConfig:
    tables = {"backbone": name, "embedding": SIZE, "window": WINDOW, **BODIES[name]}
    return build_config(ModelConfig, tables)


def parts(name: str) -> tuple[Any, dict[str, np.ndarray]]:
    """A Keras model, and all tensors of a network on it."""
    config = model_config(name)
    model = build_model(config, ITEMS, 3)
    rows = np.random.default_rng(4).standard_normal((TARGETS + 1, SIZE)).astype(np.float32)
    values = weights_for(backbone(name).layers(config), model)
    return model, {**values, SOURCE_ITEMS: item_embeddings(model), HEAD_ROWS: rows,
                   HEAD_BIASES: np.zeros(TARGETS + 1, np.float32)}  # fmt: skip


def planned(name: str, method: str) -> Plan:
    return plan(METHODS.load(method), backbone(name).layers(model_config(name)), EXPORT)


def network(name: str, method: str, values: Any, loss: str = "full_softmax") -> Network:
    kind = METHODS.load(method)
    trained = [SOURCE_ITEMS] * kind.body + [HEAD_ROWS] * kind.head
    return Network(planned(name, method), values, tuple(trained), TASK_LOSSES.load(loss), WINDOW)


@pytest.mark.parametrize("name", BODIES)
def test_p4_an_untrained_patch_is_the_backbone_bit_for_bit_and_both_are_kerass(name: str) -> None:
    model, values = parts(name)
    plain = network(name, "untuned", values).embed(WINDOWS)
    keras = np.asarray(model(WINDOWS, training=False))[np.arange(4), LENGTHS - 1]
    np.testing.assert_allclose(plain, keras, atol=2e-6)
    for method in ("serial", "parallel"):
        patched = network(name, method, values)
        assert (patched.embed(WINDOWS) == plain).all()
        name_of_up = next(each for each in patched.trained if each.endswith("up_kernel"))
        up = patched.variables[name_of_up]
        up.assign(tf.ones_like(up))
        assert not (patched.embed(WINDOWS) == plain).all(), "a patch that is not zero changes what the model says"


@pytest.mark.parametrize("method", ["serial", "fine_last", pytest.param("fine_all", marks=pytest.mark.long)])
def test_p3_what_trains_changes_and_all_else_stays_bit_for_bit(method: str) -> None:
    _, values = parts("nextitnet")
    tuned = network("nextitnet", method, values)
    before = tuned.embed(WINDOWS)
    start = {name: variable.numpy() for name, variable in tuned.variables.items()}
    first = tuned.train(WINDOWS, MARKS, OTHERS, (0.01, 0.01))
    losses = [tuned.train(WINDOWS, MARKS, OTHERS, (0.01, 0.01)) for _ in range(4)]
    assert losses[-1] < first
    changed = {name for name, value in start.items() if not (tuned.variables[name].numpy() == value).all()}
    assert changed == set(tuned.trained)
    assert set(tuned.values()) == set(tuned.trained)
    expected = {"serial": {HEAD_ROWS, *planned("nextitnet", "serial").trained}, "fine_last": {HEAD_ROWS},
                "fine_all": set(start) - {HEAD_BIASES}}  # fmt: skip
    assert changed == expected[method]
    assert (tuned.variables[SOURCE_ITEMS].numpy()[0] == 0).all(), "padding stays zero"
    again = tuned.values()
    tuned.restart()
    assert (tuned.embed(WINDOWS) == before).all()
    tuned.restart(again)
    assert all((tuned.variables[name].numpy() == value).all() for name, value in again.items())


def test_p5_counts() -> None:
    """C^2/2 + C/4 + c C for each adapter of width C / 4, and a norm of 2 C in each block."""
    for cardinality in (1, 2):
        options = ExportConfig(adapter=SIZE // 4, cardinality=cardinality)
        found = plan(METHODS.load("serial"), backbone("nextitnet").layers(model_config("nextitnet")), options)
        adapter = SIZE * SIZE // 2 + SIZE // 4 + cardinality * SIZE
        assert found.numbers == 4 * adapter + 2 * 2 * SIZE
        assert found.backbone == 4 * (3 * SIZE * SIZE + SIZE) + 4 * 2 * SIZE + SIZE * SIZE + SIZE
    assert planned("nextitnet", "fine_last").numbers == 0
    assert planned("nextitnet", "fine_all").numbers == planned("nextitnet", "untuned").backbone


@pytest.mark.parametrize(
    "loss", [pytest.param(name, marks=[] if name == "pairwise" else pytest.mark.long) for name in TASK_LOSSES]
)
def test_a_step_is_that_of_a_tape_and_of_adam(loss: str) -> None:
    """An independent model: the Keras layers under one tape, Adam's first step written out."""
    model, values = parts("nextitnet")
    tuned = network("nextitnet", "fine_all", values, loss)
    rows = tf.Variable(values[HEAD_ROWS])
    with tf.GradientTape() as tape:
        users = tf.gather_nd(model(WINDOWS, training=False), np.stack([np.arange(4), LENGTHS - 1], 1))
        logits = users @ tf.transpose(rows)
        own, other = (tf.gather(logits, which, batch_dims=1) for which in (MARKS, OTHERS))
        by_hand = {
            "full_softmax": lambda: tf.reduce_logsumexp(logits[:, 1:], 1) - own,
            "pairwise": lambda: -tf.math.log(tf.sigmoid(own)) - tf.math.log(1 - tf.sigmoid(other)),
            "bpr": lambda: -tf.math.log(tf.sigmoid(own - other)),
        }[loss]()
        mean = tf.reduce_mean(by_hand)
    kernel = model.get_layer("conv_1_1").kernel
    wanted = tape.gradient(mean, [kernel.value, rows, model.get_layer("item_embedding").embeddings.value])
    found = tuned.train(WINDOWS, MARKS, OTHERS, (0.0, 0.0))
    assert found == pytest.approx(float(mean), rel=1e-5)
    for name, gradient in zip(("conv_1_1_kernel", HEAD_ROWS, SOURCE_ITEMS), wanted, strict=True):
        moments = tuned._slots[0][name].numpy() / 0.1  # Adam's first mean
        np.testing.assert_allclose(moments, tf.convert_to_tensor(gradient).numpy(), atol=2e-6)
    before = tuned.variables["conv_1_1_kernel"].numpy()
    tuned.restart()
    tuned.train(WINDOWS, MARKS, OTHERS, (0.0, 0.01))
    moved = before - tuned.variables["conv_1_1_kernel"].numpy()
    clear = np.abs(wanted[0].numpy()) > 1e-4
    np.testing.assert_allclose(moved[clear], 0.01 * np.sign(wanted[0].numpy())[clear], rtol=2e-2)
    assert (tuned.variables[HEAD_ROWS].numpy() == values[HEAD_ROWS]).all(), "the head has a rate of its own"


@pytest.mark.long  # two graphs of a step, seconds each
def test_rows_that_fill_a_batch_do_not_count() -> None:
    _, values = parts("nextitnet")
    tuned = network("nextitnet", "serial", values)
    alone = tuned.train(WINDOWS, MARKS, OTHERS, (0.0, 0.0))
    filled = [np.concatenate([part, np.zeros_like(part)]) for part in (WINDOWS, MARKS, OTHERS)]
    assert tuned.train(*filled, (0.0, 0.0)) == pytest.approx(alone, rel=1e-6)


@pytest.mark.long  # as many graphs as methods
def test_p7_methods_see_equal_batches_and_equal_seeds_tune_alike(tmp_path: Any, monkeypatch: Any) -> None:
    _, values = parts("nextitnet")
    rows = Rows(np.array(list("abcd"), object), WINDOWS, MARKS)
    config = TransferConfig(epochs=3, patience=3, batch=3, loss="bpr")
    seen: dict[str, list[Any]] = {}
    trials = {}
    for method in ("serial", "parallel", "fine_all"):
        tuned = network("nextitnet", method, values, "bpr")
        batches = seen.setdefault(method, [])

        def watched(*step: Any, own: Any = tuned.train, batches: list[Any] = batches) -> float:
            batches.append([part.tolist() for part in step[:3]])
            return float(own(*step))

        monkeypatch.setattr(tuned, "train", watched)
        trials[method] = tune(tuned, config, rows, rows, "items", 0.01, seed=1)
        if method == "serial":
            first = batches[:]
            batches.clear()
            again = tune(tuned, config, rows, rows, "items", 0.01, seed=1)
            assert batches == first
            assert (again.curve == trials[method].curve).all()
            assert all((again.values[name] == value).all() for name, value in trials[method].values.items())
    assert seen["serial"] == seen["parallel"] == seen["fine_all"]
    assert len(seen["serial"]) == 6
    assert seen["serial"][0] != seen["serial"][2], "another order in the next epoch"
    trial = trials["serial"]
    save_trial(tmp_path / "trial.npz", trial)
    read = load_trial(tmp_path / "trial.npz")
    assert (read.rate, read.epoch, read.best) == (trial.rate, trial.epoch, trial.best)
    assert read.best == read.curve[read.epoch] == read.curve.max()
    assert set(tensors_of(planned("nextitnet", "serial").layers)) > set(read.values) - {HEAD_ROWS}
