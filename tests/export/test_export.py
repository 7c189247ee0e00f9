# SPDX-License-Identifier: Apache-2.0
"""The exporter against Keras: conversion, the gate, and the gate's power to refuse."""

from __future__ import annotations

import dataclasses
import functools
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from exported import shaken

from pocketrec.cloud.backbones import backbone, build_model, item_embeddings
from pocketrec.cloud.config.export import ExportConfig
from pocketrec.cloud.config.model import GruOptions, ModelConfig
from pocketrec.cloud.config.personalise import DEVICE_OPTIMIZERS, WAYS
from pocketrec.device.base.errors import ExportError
from pocketrec.device.bench.limit import flop
from pocketrec.device.contract.layers import gru_spec
from pocketrec.device.engine.runtime import Runtime
from pocketrec.export.build import build_tflite
from pocketrec.export.gate import gate
from pocketrec.export.gate.reference import Reference
from pocketrec.export.graph.softmax import log_probability
from pocketrec.export.graph.weights import weights_for, weights_of
from pocketrec.export.layers import gru
from pocketrec.export.tables.table import ItemTable

ITEMS = 60
# Short windows: the exported graph is unrolled, so time grows with layers and window.
CONFIG = ModelConfig(embedding=8, window=3, dropout=0.0, tables={"gru": GruOptions(hidden=12, layers=2)})


def _model(config: ModelConfig = CONFIG, seed: int = 3) -> keras.Model:
    return shaken(config, ITEMS, 0.2, seed)


def _export(
    model: keras.Model, config: ModelConfig = CONFIG, *, way: str = "partial", optimizer: str = "adagrad", **options
):
    options = {"batch": 3, **options}
    return build_tflite(model, config, ExportConfig(**options), way=way, optimizer=optimizer, candidates=5)


def _exported(way: str = "partial", optimizer: str = "adagrad", layers: int = 2, **options):
    """Of `_model`; made once for all tests that want the same, for converting takes seconds."""
    return _converted(way, optimizer, layers, tuple(options.items()))


@functools.cache
def _converted(way: str, optimizer: str, layers: int, options: tuple):
    config = CONFIG.with_options("gru", layers=layers)
    return _export(_model(config), config, way=way, optimizer=optimizer, **dict(options))


# A way and an optimizer do not depend on each other: the short suite has one of each kind. The test of the kink below
# has the gate pass for (whole, adam), test_export_nextitnet.py for a patch, sgd and tables of float32, and
# test_export_ranknet.py for the sampled softmax.
CASES = [(2, "partial", "adagrad", {})]
MORE_CASES = [
    (2, "head", "sgd", {}),
    (2, "patch", "adagrad", {"adapter": 4}),
    (1, "partial", "adam", {"full_softmax_limit": 10, "negatives": 16}),
    (1, "partial", "adagrad", {"item_table": "float32", "weight_bits": 32}),
    (2, "patch_parallel", "adam", {"adapter": 4}),
    (1, "patch", "sgd", {"full_softmax_limit": 10, "negatives": 16}),
    (3, "whole", "adagrad", {}),
]
# Of the gate's own tests, each of which converts a model for itself: that takes as long as its window has steps.
SMALL = dataclasses.replace(CONFIG, embedding=4, window=2).with_options("gru", hidden=4, layers=1)


@pytest.mark.parametrize(
    ("layers", "way", "optimizer", "options"),
    [*CASES, *(pytest.param(*case, marks=pytest.mark.long) for case in MORE_CASES)],
)
@pytest.mark.feature("D11")
def test_gate_passes_on_every_runtime(layers, way, optimizer, options):
    """Scores, losses and 20 train steps equal Keras layers under a gradient tape; frozen tensors stay bit-identical."""
    exported = _exported(way, optimizer, layers, **options)
    report = gate.check(exported, _model(CONFIG.with_options("gru", layers=layers)), seed=1)
    both = {"ai_edge_litert", "tflite_runtime"}
    assert set(report.runtimes) == (both if sys.version_info < (3, 12) else {"ai_edge_litert"})
    for found in report.runtimes.values():
        assert found["score"] <= 1e-4
        assert found["loss"] <= 1e-4
        assert found["train_loss"] <= 1e-4
    if options.get("item_table") == "float32":
        assert all(found["table"] <= 1e-4 for found in report.runtimes.values())
    assert not [name for name in report.ops if "FLEX" in name.upper() or "CUSTOM" in name.upper()]
    first = {"head": "fc_kernel", "whole": "gru_1_kernel", "partial": f"gru_{layers}_kernel"}
    assert exported.tensors["trainable"][0]["name"] == first.get(way, "gru_1_adapter_down_kernel")


OTHER_PAIRS = [
    (way, optimizer)
    for way in WAYS
    for optimizer in DEVICE_OPTIMIZERS
    if (way, optimizer) not in {("whole", "adam"), *((case[1], case[2]) for case in [*CASES, *MORE_CASES])}
]


@pytest.mark.long
@pytest.mark.parametrize(("way", "optimizer"), OTHER_PAIRS)
def test_gate_passes_for_all_other_pairs_of_way_and_optimizer(way, optimizer):
    """The pairs that are not above, on a model of one layer."""
    model = _model(SMALL)
    report = gate.check(_export(model, SMALL, way=way, optimizer=optimizer, adapter=2), model, seed=1)
    for found in report.runtimes.values():
        assert max(found["score"], found["loss"], found["train_loss"]) <= 1e-4


def test_gate_refuses_without_a_runtime_that_could_be_here(monkeypatch):
    """A device may have either runtime, so a file that was tried on one of them is not published."""
    monkeypatch.setattr(gate, "find_runtimes", lambda: [Runtime("ai_edge_litert", False, "no runtime: install it")])
    monkeypatch.setattr(gate, "_expected", lambda *_: {})  # nothing is compared, and it takes seconds
    with pytest.raises(ExportError, match="cannot be checked on ai_edge_litert: no runtime: install it"):
        gate.check(_exported(), _model(), seed=1)


def test_gate_refuses_other_weights():
    """A file made from other weights than the model's is not published."""
    with pytest.raises(ExportError, match="differs from Keras"):
        gate.check(_exported(), _model(seed=4), seed=1)


def test_gate_refuses_a_wrong_gradient(monkeypatch):
    """An error in the hand-written backward pass is seen in what 20 steps change."""
    right = gru.backward

    def wrong(*args):
        gradients, projection = right(*args)
        return dataclasses.replace(gradients, recurrent_kernel=gradients.recurrent_kernel * 1.05), projection

    monkeypatch.setattr(gru, "backward", wrong)
    monkeypatch.setattr(gate, "DRAWS", 1)  # a wrong gradient is wrong on each: the test below draws again
    model = _model(SMALL)
    with pytest.raises(ExportError, match="change differs"):
        gate.check(_export(model, SMALL), model, seed=1)


def test_a_draw_of_inputs_on_the_kink_of_an_activation_is_drawn_again(monkeypatch):
    """Keras and the runtimes saw an input of a ReLU on either side of 0: found on a real model, one draw of many."""
    model, compared = _model(SMALL), []
    exported, compare = _export(model, SMALL, way="whole", optimizer="adam"), gate._compare

    def on_the_kink(times):
        def compared_there(runtime, *rest):
            compared.append(runtime)
            if len(compared) <= times:
                raise gate._TrainingError("on ai_edge_litert the model's change differs")
            return compare(runtime, *rest)

        return compared_there

    monkeypatch.setattr(gate, "DRAWS", 2)
    monkeypatch.setattr(gate, "_compare", on_the_kink(gate.DRAWS - 1))
    for found in gate.check(exported, model, seed=1).runtimes.values():
        assert max(found["score"], found["loss"], found["train_loss"]) <= 1e-4
    compared.clear()
    monkeypatch.setattr(gate, "_expected", lambda *_: {})  # nothing is compared any more, and it takes seconds
    monkeypatch.setattr(gate, "_compare", on_the_kink(gate.DRAWS))
    with pytest.raises(ExportError, match="change differs"):
        gate.check(exported, model, seed=1)
    assert len(compared) == gate.DRAWS


@pytest.mark.feature("D12")
def test_gate_refuses_a_flex_op():
    class Flexed(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([4], tf.float32)])
        def call(self, x):
            return {"y": tf.raw_ops.ReluGrad(gradients=x, features=x)}

    module = Flexed()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.call.get_concrete_function()], module)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    with pytest.raises(ExportError, match="FlexReluGrad"):
        gate.builtin_ops(converter.convert())


def test_gru_equals_keras_with_gaps_in_the_mask():
    """Forward and backward of one layer equal keras.layers.GRU on masked input, wherever the padding lies."""
    rng = np.random.default_rng(0)
    batch, steps, size, hidden = 4, 5, 3, 6
    inputs = rng.normal(size=(batch, steps, size)).astype(np.float32)
    mask = rng.random((batch, steps)) < 0.7
    upstream = rng.normal(size=(batch, steps, hidden)).astype(np.float32)
    layer = keras.layers.GRU(hidden, return_sequences=True, reset_after=True)
    layer.build((None, None, size))
    for variable in layer.weights:
        variable.assign(rng.normal(0, 0.5, variable.shape))
    with tf.GradientTape() as tape:
        expected = layer(inputs, mask=tf.constant(mask))
        loss = tf.reduce_sum(expected * upstream)
    expected_gradients = tape.gradient(loss, [v.value for v in layer.weights])

    def major(value):  # (B, T, X) -> (T * B, X)
        return tf.reshape(tf.transpose(tf.constant(value), [1, 0, 2]), [steps * batch, -1])

    weights = gru.GRUWeights(*(tf.constant(w) for w in layer.get_weights()))
    padding = major(1.0 - mask[..., None].astype(np.float32))
    outputs, trace = gru.forward(weights, major(inputs), padding, steps)
    gradients, _ = gru.backward(weights, trace, major(upstream), steps)
    np.testing.assert_allclose(outputs, major(expected.numpy()), atol=2e-6)
    for own, reference in zip(
        (gradients.kernel, gradients.recurrent_kernel, gradients.bias), expected_gradients, strict=True
    ):
        np.testing.assert_allclose(own, reference, rtol=1e-4, atol=1e-5)


def test_sampling_probabilities_are_right_to_the_last_of_millions():
    """log(1 + 1 / r) as it stands in float32 is off by .1 % at row 46,800, 5 % at a million."""
    rows = np.array([1, 2, 3, 10, 1000, 46_800, 100_000, 4_162_024], np.int32)
    found = log_probability(tf.constant(rows)).numpy()
    np.testing.assert_allclose(found, np.log(np.log1p(1 / rows.astype(np.float64))), atol=2e-6)


def test_item_table_error_is_at_most_half_a_step():
    rng = np.random.default_rng(1)
    embeddings = rng.normal(size=(9, 4)).astype(np.float32)
    embeddings[5] = 0.0
    table = ItemTable.quantise(embeddings, "int8")
    error = np.abs(table.embeddings()[1:] - embeddings[1:])
    assert (error <= table.scales[1:] / 2 + 1e-7).all()
    assert not table.embeddings()[0].any()
    assert not table.embeddings()[5].any()
    assert table.rows.dtype == np.int8


def test_int8_table_stays_int8_in_the_file():
    """The converter must not fold the table into a float constant: the file would be four times as large."""
    config = dataclasses.replace(CONFIG, embedding=64, window=1).with_options("gru", hidden=4, layers=1)
    made = _export(build_model(config, 4000, 1), config, way="head", optimizer="sgd")
    rows = 4001 * 64
    assert rows < len(made.content) < 1.5 * rows, "a table of float32 takes four times as many bytes as it has values"


def test_a_model_that_its_layers_do_not_describe_is_not_exported():
    """A weight that no layer names would be missing in the file, without an error from anybody."""
    layers, model = backbone("gru").layers(CONFIG), _model()
    assert list(weights_for(layers, model)) == list(weights_of(model))
    with pytest.raises(ExportError, match="no layer of the backbone names gru_2_kernel, gru_2_recurrent_kernel"):
        weights_for((layers[0], layers[2]), model)
    with pytest.raises(ExportError, match=r"gru_2_kernel has shape \(12, 39\), and the model has \(12, 36\)"):
        weights_for((layers[0], gru_spec("gru_2", 12, 13), layers[2]), model)
    with pytest.raises(ExportError, match="gru_3_kernel"):
        weights_for((*layers, gru_spec("gru_3", 12, 12)), model)


def test_a_short_window_is_embedded_after_its_last_event(tmp_path):
    """Beside a layer that does not carry its state over padding, such as a parallel adapter, the last row is another.

    Until LayerSpec the file read the last row, so a device's embedding of a short history was not the one that it had
    trained."""
    config = CONFIG.with_options("gru", layers=1)
    model, exported = _model(config), _exported("patch_parallel", "adam", 1, adapter=4)
    weights = dict(exported.weights)
    rng = np.random.default_rng(1)
    for name in exported.tensors["trainable"]:
        weights[name["name"]] = rng.normal(0, 0.5, name["shape"]).astype(np.float32)
    reference = Reference(model, exported.item_embeddings, None, weights, exported.layers)
    short = np.array([[3, 7, 0]], np.int32)
    np.testing.assert_allclose(reference.embed(short), reference.embed(short[:, :2]), atol=1e-6)
    (tmp_path / "model.tflite").write_bytes(exported.content)
    np.savez(tmp_path / "trained.npz", **{k: v for k, v in weights.items() if "_adapter_" in k})
    code = ("import sys, numpy as np\nfrom pocketrec.device.engine.model import Model\n"
            "model = Model(sys.argv[1] + '/model.tflite')\n"
            "model.import_weights({**model.export_weights(), **np.load(sys.argv[1] + '/trained.npz')})\n"
            "print(*model.embed(np.array([[3, 7, 0]], np.int32)))")  # fmt: skip
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    found = np.array(run.stdout.splitlines()[-1].split(), np.float32)
    np.testing.assert_allclose(found, reference.embed(short)[0], atol=1e-5)


def test_work_of_a_call_is_that_of_the_formulas_that_bundles_of_then_are_measured_by():
    """For GRUs; adapters, which those formulas leave out, add theirs."""
    facts = _exported().model
    then = {**facts, "hidden": CONFIG.options.hidden, "layers": CONFIG.options.layers}
    del then["flop"]
    partial = ["gru_2_kernel", "gru_2_recurrent_kernel", "gru_2_bias", "fc_kernel", "fc_bias"]
    assert facts["flop"] == flop(facts, []) == flop(then, partial)
    facts, patched = (_exported(way, "adam", 1, adapter=4).model["flop"] for way in ("head", "patch_parallel"))
    kernels = (12 * 4 + 4 * 12) + (8 * 4 + 4 * 8)  # of the adapters of a GRU layer and of FC
    assert patched["embed"] == facts["embed"] + CONFIG.window * 2 * kernels


@pytest.mark.parametrize(
    ("way", "optimizer"), [pytest.param("patch", "adagrad", marks=pytest.mark.long), ("patch_parallel", "adam")]
)
def test_an_untrained_patch_is_the_backbone_and_patches_are_swapped_at_run_time(tmp_path, way, optimizer):
    """A patch of zeros changes nothing (other kernels round otherwise), and one person's patch put back brings that
    person back bit for bit."""
    for name in (way, "head"):
        made = _exported(name, "adam" if name == "head" else optimizer, 1, adapter=4)
        (tmp_path / f"{name.partition('_')[0]}.tflite").write_bytes(made.content)
    run = subprocess.run([sys.executable, "-c", _SWAP, str(tmp_path)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


# A runtime cannot share a process with TensorFlow.
_SWAP = """
import sys
import numpy as np
from pocketrec.device.engine.model import Model
patched, plain = (Model(f"{sys.argv[1]}/{name}.tflite") for name in ("patch", "head"))
items = np.array([[3, 7, 0]], np.int32)
window = np.tile(items, (3, 1))
np.testing.assert_allclose(patched.embed(items), plain.embed(items), atol=1e-6)
untrained = patched.export_weights()
assert any(name.endswith("up_kernel") for name in untrained)
patches, seen = [], []
for target in (5, 11):
    patched.import_weights(untrained)
    for _ in range(5):
        patched.train(window, np.where(window > 0, target, 0).astype(np.int32), 0.5)
    patches.append(patched.export_weights())
    seen.append(patched.embed(items))
assert np.abs(seen[0] - seen[1]).max() > 0.01
for patch, expected in zip([*patches, *patches], [*seen, *seen]):
    patched.import_weights(patch)
    np.testing.assert_array_equal(patched.embed(items), expected)
"""


def test_reference_knows_ranks():
    """Rank 1 is the best item, ties count against the target, and padding has rank 0."""
    model = _model()
    table = item_embeddings(model)
    reference = Reference(model, ItemTable.quantise(table, "float32").embeddings())
    items = np.array([[3, 4, 0, 0, 0, 0]], np.int32)
    users = np.asarray(model(items))[0]
    best = int(np.argmax(users[0] @ table[1:].T)) + 1
    ranks = reference.ranks(items, np.array([[best, 0, 0, 0, 0, 0]], np.int32))
    assert ranks[0, 0] == 1
    assert not ranks[0, 1:].any()
