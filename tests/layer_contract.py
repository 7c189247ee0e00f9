# SPDX-License-Identifier: Apache-2.0
"""What holds for every kind of layer: it computes what Keras computes, with gradients of the tape and builtins only."""

from __future__ import annotations

import functools
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pocketrec.cloud.config.layers import LAYERS
from pocketrec.device.contract.layers import LayerSpec, tensors_of
from pocketrec.device.engine.runtime import find_runtimes
from pocketrec.export.file.convert import converted
from pocketrec.export.gate.gate import builtin_ops
from pocketrec.export.layers.layer import Call, make_layer

BATCH, STEPS = 3, 5
LENGTHS = (5, 3, 1)  # events of each window


def rows(value: Any) -> tf.Tensor:
    """(B, T, X) as time-major rows (T * B, X)."""
    return tf.reshape(tf.transpose(tf.constant(value), [1, 0, 2]), [-1, value.shape[-1]])


class LayerContract:
    """A subclass names a kind and gives a spec, and the same computation by Keras."""

    kind: str

    def spec(self) -> LayerSpec:
        raise NotImplementedError

    def expected(self, x: tf.Tensor, mask: tf.Tensor, value: dict[str, tf.Variable]) -> tf.Tensor:
        """Outputs (B, T, O) of inputs (B, T, I), where the mask (B, T) is False in padding, by Keras or plain ops."""
        raise NotImplementedError

    def variables(self) -> dict[str, tf.Variable]:
        rng = np.random.default_rng(4)
        shapes = {name: tensor.shape for name, tensor in tensors_of([self.spec()]).items()}
        return {name: tf.Variable(rng.normal(0, 0.5, shape).astype(np.float32)) for name, shape in shapes.items()}

    def inputs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rng, spec = np.random.default_rng(5), self.spec()
        x = rng.normal(size=(BATCH, STEPS, spec.inputs)).astype(np.float32)
        upstream = rng.normal(size=(BATCH, STEPS, spec.outputs)).astype(np.float32)
        mask = np.arange(STEPS) < np.array(LENGTHS)[:, None]
        return x, mask, upstream * mask[..., None]  # no loss in padding, as on a device

    def call(self, variables: dict[str, tf.Variable], mask: np.ndarray, trained: set[str] | None = None) -> Call:
        padding = rows(1.0 - mask[..., None].astype(np.float32))
        return Call(lambda name: variables[name].value(), STEPS, padding, frozenset(variables if trained is None
                                                                                    else trained))  # fmt: skip

    def taped(self) -> tuple[tf.Tensor, dict[str, tf.Tensor], tf.Tensor]:
        """Outputs, gradients by name and gradient of the inputs, (B, T, X), by tape through `expected`."""
        (x, mask, upstream), variables = self.inputs(), self.variables()
        source = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(source)
            y = self.expected(source, tf.constant(mask), variables)
            loss = tf.reduce_sum(y * upstream)
        *gradients, dx = tape.gradient(loss, [*variables.values(), source])
        return y, dict(zip(variables, gradients, strict=True)), dx

    def test_the_table_names_it(self) -> None:
        layer = make_layer(self.spec())
        assert layer.spec.kind == self.kind
        assert type(layer) is LAYERS.load(self.kind)
        assert set(layer.tensors) == set(tensors_of([self.spec()]))

    def test_forward_equals_keras(self) -> None:
        x, mask, _ = self.inputs()
        y, _ = make_layer(self.spec()).forward(rows(x), self.call(self.variables(), mask))
        expected, _, _ = self.taped()
        kept = rows(mask[:, : expected.shape[1], None].astype(np.float32))
        np.testing.assert_allclose(y * kept, rows(expected.numpy()) * kept, atol=5e-6)

    @pytest.mark.parametrize("down", [True, False])
    def test_gradients_equal_the_tape(self, down: bool) -> None:
        x, mask, upstream = self.inputs()
        layer, call = make_layer(self.spec()), self.call(self.variables(), mask)
        _, trace = layer.forward(rows(x), call)
        gradients, dx = layer.backward(trace, rows(upstream), call, down)
        _, expected, into = self.taped()
        assert set(gradients) == set(expected)
        for name, gradient in expected.items():
            np.testing.assert_allclose(gradients[name], gradient, rtol=1e-4, atol=2e-5, err_msg=name)
        if down:
            np.testing.assert_allclose(dx, rows(into.numpy()), rtol=1e-4, atol=5e-5)
        else:
            assert dx is None

    def test_each_tensor_can_be_trained_alone(self) -> None:
        x, mask, upstream = self.inputs()
        layer, variables = make_layer(self.spec()), self.variables()
        _, expected, _ = self.taped()
        for name in layer.tensors:
            call = self.call(variables, mask, {name})
            _, trace = layer.forward(rows(x), call)
            gradients, _ = layer.backward(trace, rows(upstream), call, False)
            np.testing.assert_allclose(gradients[name], expected[name], rtol=1e-4, atol=2e-5, err_msg=name)

    @pytest.mark.parametrize("held", [True, False])
    def test_what_it_says_of_padding_is_so(self, held: bool) -> None:
        """Where `holds` says that padded rows repeat the output of the last event, they do."""
        x, mask, _ = self.inputs()
        if held:
            x = np.stack([window[np.minimum(np.arange(STEPS), n - 1)] for window, n in zip(x, LENGTHS, strict=True)])
        layer = make_layer(self.spec())
        y, _ = layer.forward(rows(x), self.call(self.variables(), mask))
        windows = np.transpose(np.reshape(y, (STEPS, BATCH, -1)), (1, 0, 2))
        if layer.holds(held):
            for window, length in zip(windows, LENGTHS, strict=True):
                np.testing.assert_allclose(window[length:], np.repeat(window[length - 1 :][:1], STEPS - length, 0),
                                           atol=1e-6)  # fmt: skip

    def test_untrained_tensors_are_its_own(self) -> None:
        shapes = {name: tensor.shape for name, tensor in tensors_of([self.spec()]).items()}
        for name, value in make_layer(self.spec()).untrained().items():
            assert value.dtype == np.float32
            assert value.shape == shapes[name]

    def test_work_grows_with_what_trains(self) -> None:
        layer = make_layer(self.spec())
        some, every = frozenset(layer.tensors[-2:]), frozenset(layer.tensors)
        products = any(name.endswith("kernel") for name in layer.tensors)
        assert layer.flop(every, True).forward == layer.flop(frozenset(), True).forward
        assert layer.flop(every, True).forward > 0 or not products
        assert layer.flop(some, False).backward <= layer.flop(every, False).backward <= layer.flop(every, True).backward

    def test_its_spec_survives_json(self) -> None:
        assert LayerSpec.from_dict(self.spec().to_dict()) == self.spec()

    @pytest.mark.slow
    def test_both_runtimes_train_it_with_builtins_only(self) -> None:
        """Three steps of plain gradient descent; converted as the product converts, without Flex and custom ops."""
        x, mask, upstream = self.inputs()
        contract = self
        spec, start = self.spec(), {name: variable.numpy() for name, variable in self.variables().items()}

        class Trains(tf.Module):
            def __init__(self) -> None:
                super().__init__()
                self.layer = make_layer(spec)
                self.variables_of = {name: tf.Variable(value, name=name) for name, value in start.items()}

            def step(self, x: tf.Tensor, up: tf.Tensor) -> dict[str, tf.Tensor]:
                call = contract.call(self.variables_of, mask)
                y, trace = self.layer.forward(x, call)
                gradients, _ = self.layer.backward(trace, up, call, False)
                for name, variable in self.variables_of.items():
                    variable.assign(variable.read_value() - 0.01 * gradients[name])
                return {"loss": tf.reduce_sum(y * up)}

        module = Trains()
        shapes = {"x": rows(x).shape, "up": rows(upstream).shape}
        specs = {name: tf.TensorSpec(shape, tf.float32, name=name) for name, shape in shapes.items()}
        step = tf.function(module.step, autograph=False).get_concrete_function(**specs)
        content = converted(module, {"step": step})
        assert builtin_ops(content)
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "layer.tflite").write_bytes(content)
            np.savez(Path(folder) / "inputs.npz", x=rows(x), up=rows(upstream))
            expected = [float(step(rows(x), rows(upstream))["loss"]) for _ in range(3)]
            for runtime in find_runtimes():
                if runtime.installed:
                    losses = steps(runtime.name, folder)
                    np.testing.assert_allclose(losses, expected, rtol=1e-4, atol=1e-4, err_msg=runtime.name)


def steps(runtime: str, folder: str) -> list[float]:
    """Losses of three steps of the file in `folder`."""
    process = _process(runtime)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{folder}\n")
    process.stdin.flush()
    said = process.stdout.readline()
    assert said, f"{runtime} ended with status {process.wait()}: its complaint stands above"
    return [float(word) for word in said.split()]


@functools.cache
def _process(runtime: str) -> subprocess.Popen[str]:
    """Of a runtime, which cannot share one with TensorFlow; it ends with this one."""
    return subprocess.Popen([sys.executable, "-c", _STEPS, runtime], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            text=True)  # fmt: skip


_STEPS = """
import sys
import numpy as np
if sys.argv[1] == "tflite_runtime":
    from tflite_runtime.interpreter import Interpreter
else:
    from ai_edge_litert.interpreter import Interpreter
for line in sys.stdin:
    folder = line.rstrip()
    runner = Interpreter(folder + "/layer.tflite").get_signature_runner("step")
    inputs = dict(np.load(folder + "/inputs.npz"))
    print(*(float(runner(**inputs)["loss"]) for _ in range(3)), flush=True)
"""
