# SPDX-License-Identifier: Apache-2.0
"""The train step of a task's patch on the runtimes, against automatic differentiation of the same layers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from exported import shaken

from pocketrec.cloud.backbones import item_embeddings
from pocketrec.cloud.config.export import ExportConfig
from pocketrec.cloud.config.load import build_config
from pocketrec.cloud.config.model import ModelConfig
from pocketrec.device.contract.layers import LayerSpec, tensors_of
from pocketrec.device.engine.runtime import find_runtimes
from pocketrec.export.build import ExportedModel, build_tflite
from pocketrec.export.layers.layer import Call
from pocketrec.export.layers.stack import Stack

ITEMS, WINDOW, BATCH, COMPARED, RATE, PULL = 12, 4, 4, 5, 0.1, 0.3
_STEP = """
import sys
import numpy as np
from pocketrec.device.engine.model import Model
from pocketrec.device.engine.signatures import TaskBatch
path, inputs, outputs, runtime = sys.argv[1:]
given = dict(np.load(inputs))
model = Model(path, runtime)
assert model.compared == len(given["head"])
begin = {name: given["begin." + name] for name in model.variables}
origin = {name: given["origin." + name] for name in model.variables}
model.import_weights(begin)
batch = TaskBatch(given["items"], given["wanted"], given["head"], given["biases"])
loss = model.train_task(batch, float(given["rate"]), float(given["pull"]), origin)
np.savez(outputs, loss=loss, **model.export_weights())
"""


def made(backbone: str, options: dict[str, object], way: str = "patch") -> tuple[ExportedModel, np.ndarray]:
    config = build_config(ModelConfig, {"backbone": backbone, "embedding": 8, "window": WINDOW, backbone: options})
    model = shaken(config, ITEMS, 0.2)
    export = ExportConfig(adapter=2, batch=BATCH, weight_bits=32, item_table="float32")
    built = build_tflite(model, config, export, way=way, optimizer="sgd", candidates=10, compared=COMPARED)
    return built, item_embeddings(model)


def by_tape(
    built: ExportedModel, table: np.ndarray, given: dict[str, np.ndarray]
) -> tuple[float, dict[str, np.ndarray]]:
    """Loss and weights after one step of plain gradient descent, the gradient by TensorFlow."""
    layers, trained = built.layers, [spec["name"] for spec in built.tensors["trainable"]]
    values = {name: tf.Variable(built.weights[name]) for name in tensors_of(layers)}
    for name in trained:
        values[name].assign(given[f"begin.{name}"])
    items = given["items"]
    flat = items.T.reshape(-1)
    call = Call(lambda name: values[name].value(), WINDOW, tf.constant((flat == 0)[:, None].astype(np.float32)),
                frozenset(trained))  # fmt: skip
    stack = Stack(LayerSpec("stack", "body", inner=layers))
    losses = []
    with tf.GradientTape() as tape:
        users, _ = stack.forward(tf.constant(table[flat]), call)
        for place in range(BATCH):
            if given["wanted"][place].any():
                last = int((items[place] > 0).sum()) - 1
                scores = tf.linalg.matvec(given["head"], users[last * BATCH + place]) + given["biases"]
                losses.append(-tf.nn.log_softmax(scores)[int(given["wanted"][place].argmax())])
        loss = tf.reduce_mean(losses)
    gradients = tape.gradient(loss, [values[name] for name in trained])
    after = {}
    for name, gradient in zip(trained, gradients, strict=True):
        begin = given[f"begin.{name}"]
        slope = np.zeros_like(begin) if gradient is None else tf.convert_to_tensor(gradient).numpy()
        after[name] = begin - RATE * (slope + PULL * (begin - given[f"origin.{name}"]))
    return float(loss), after


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "options"),
    [
        pytest.param("nextitnet", {"dilations": [1, 2]}, marks=pytest.mark.long),
        pytest.param("gru", {"hidden": 8}, marks=pytest.mark.long),
        pytest.param("mingru", {}, marks=pytest.mark.long),
    ],
)
def test_a_step_is_that_of_automatic_differentiation(
    tmp_path: Path, backbone: str, options: dict[str, object]
) -> None:
    built, table = made(backbone, options)
    rng = np.random.default_rng(1)
    items = rng.integers(1, ITEMS + 1, (BATCH, WINDOW)).astype(np.int32)
    items[1, 3:], items[2, 1:], items[3] = 0, 0, 0  # shorter windows, and one that is not there
    wanted = np.zeros((BATCH, COMPARED), np.float32)
    wanted[[0, 1, 2], [2, 0, 2]] = 1
    names = {spec["name"]: spec["shape"] for spec in built.tensors["trainable"]}
    biases = np.array([0.1, -0.2, 0.3, 0, -1e4], np.float32)  # the last row is not there
    given = {
        "items": items, "wanted": wanted, "head": rng.normal(0, 1, (COMPARED, 8)).astype(np.float32), "biases": biases,
        "rate": np.float32(RATE), "pull": np.float32(PULL),
        **{f"{kind}.{name}": rng.normal(0, 0.3, shape).astype(np.float32) for kind in ("begin", "origin")
           for name, shape in names.items()},
    }  # fmt: skip
    np.savez(tmp_path / "in.npz", **given)
    (tmp_path / "m.tflite").write_bytes(built.content)
    loss, after = by_tape(built, table, given)
    tried = 0
    for runtime in find_runtimes():
        if not runtime.installed:
            continue
        out = tmp_path / f"{runtime.name}.npz"
        command = [sys.executable, "-c", _STEP, str(tmp_path / "m.tflite"), str(tmp_path / "in.npz"), str(out)]
        subprocess.run([*command, runtime.name], check=True, capture_output=True)
        found = dict(np.load(out))
        assert float(found.pop("loss")) == pytest.approx(loss, rel=1e-5)
        for name, value in found.items():
            assert np.allclose(value, after[name], atol=2e-5), (runtime.name, name)
            assert not np.allclose(value, given[f"begin.{name}"], atol=1e-4), f"{name} did not train"
        tried += 1
    assert tried
