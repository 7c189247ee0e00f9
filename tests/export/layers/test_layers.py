# SPDX-License-Identifier: Apache-2.0
"""What holds for every kind of layer: it computes what Keras computes, its gradients are the tape's, builtins only."""

from __future__ import annotations

import dataclasses
import functools
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pocketrec.cloud.backbones.cloze import AppendMask, AtMask, at_mask_spec, mask_spec
from pocketrec.cloud.backbones.conv import DilatedConvolution
from pocketrec.cloud.backbones.keras_layers import Activation
from pocketrec.cloud.backbones.mingru_layer import MinGru
from pocketrec.cloud.backbones.mingru_specs import mingru_spec
from pocketrec.cloud.backbones.profile import Profile, profile_spec
from pocketrec.cloud.backbones.sasrec_layers import Positions, SelfAttention
from pocketrec.cloud.backbones.specs import activation_spec, conv_spec, norm_spec
from pocketrec.cloud.config.layers import LAYERS
from pocketrec.device.contract.layers import LayerSpec, TensorSpec, adapter_spec, dense_spec, gru_spec, tensors_of, walk
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


def keras_gru(x: tf.Tensor, mask: tf.Tensor, weights: list[tf.Variable]) -> tf.Tensor:
    """Keras' cell, step by step, so that the tape sees these very variables; the mask carries the state."""
    kernel, recurrent, bias = weights
    state, states = tf.zeros([x.shape[0], recurrent.shape[0]]), []
    for step in range(x.shape[1]):
        into = tf.split(tf.matmul(x[:, step], kernel) + bias[0], 3, axis=1)
        back = tf.split(tf.matmul(state, recurrent) + bias[1], 3, axis=1)
        z, r = tf.sigmoid(into[0] + back[0]), tf.sigmoid(into[1] + back[1])
        after = z * state + (1.0 - z) * tf.tanh(into[2] + r * back[2])
        state = tf.where(mask[:, step, None], after, state)
        states.append(state)
    return tf.stack(states, axis=1)


class TestGru(LayerContract):
    kind = "gru"

    def spec(self) -> LayerSpec:
        return gru_spec("gru_1", 4, 6)

    def expected(self, x: tf.Tensor, mask: tf.Tensor, value: dict[str, tf.Variable]) -> tf.Tensor:
        y = keras_gru(x, mask, list(value.values()))
        layer = keras.layers.GRU(6, return_sequences=True, reset_after=True)
        layer.build((None, None, 4))
        layer.set_weights([variable.numpy() for variable in value.values()])
        np.testing.assert_allclose(y, layer(x, mask=mask), atol=2e-6)
        return y


def minimal_gru(x: tf.Tensor, weights: list[tf.Variable]) -> tf.Tensor:
    """By the equations (Feng et al. 2024), step by step."""
    kernel, bias = weights
    state, states = tf.zeros([x.shape[0], 6]), []
    for step in range(x.shape[1]):
        projected = tf.matmul(x[:, step], kernel) + bias
        z, c = tf.sigmoid(projected[:, :6]), tf.tanh(projected[:, 6:])
        state = (1.0 - z) * state + z * c
        states.append(state)
    return tf.stack(states, axis=1)


class TestMinGru(LayerContract):
    kind = "mingru"

    def spec(self) -> LayerSpec:
        return mingru_spec("mingru_1", 4, 6)

    def expected(self, x: tf.Tensor, mask: tf.Tensor, value: dict[str, tf.Variable]) -> tf.Tensor:
        kernel, bias = value.values()
        y = minimal_gru(x, [kernel, bias])
        layer = MinGru(6)
        layer.build((None, None, 4))
        layer.set_weights([kernel.numpy(), bias.numpy()])
        np.testing.assert_allclose(y, layer(x), atol=2e-6)
        return y


class TestMinGruBehindNorm(LayerContract):
    """One layer with the normalisation of its inputs, whose gradients then take no product of their own."""

    kind = "mingru"

    def spec(self) -> LayerSpec:
        return mingru_spec("mingru_1", 4, 6, norm_spec("norm_1", 4))

    def expected(self, x: tf.Tensor, mask: tf.Tensor, value: dict[str, tf.Variable]) -> tf.Tensor:
        gamma, beta, *own = value.values()
        centred = x - tf.reduce_mean(x, -1, keepdims=True)
        normal = centred / tf.sqrt(tf.reduce_mean(centred**2, -1, keepdims=True) + 1e-6)
        return minimal_gru(normal * gamma + beta, own)


class TestDense(LayerContract):
    kind = "dense"

    def spec(self) -> LayerSpec:
        return dense_spec("fc", 4, 3)

    def expected(self, x: tf.Tensor, mask: tf.Tensor, value: dict[str, tf.Variable]) -> tf.Tensor:
        y = tf.einsum("bti,io->bto", x, value["fc_kernel"]) + value["fc_bias"]
        layer = keras.layers.Dense(3)
        layer.build((None, 4))
        layer.set_weights([variable.numpy() for variable in value.values()])
        np.testing.assert_allclose(y, layer(x), atol=2e-6)
        return y


class TestNorm(LayerContract):
    kind = "norm"

    def spec(self) -> LayerSpec:
        return norm_spec("norm_1", 6)

    def expected(self, x: tf.Tensor, mask: tf.Tensor, value: dict[str, tf.Variable]) -> tf.Tensor:
        centred = x - tf.reduce_mean(x, -1, keepdims=True)
        normal = centred / tf.sqrt(tf.reduce_mean(centred**2, -1, keepdims=True) + 1e-6)
        y = normal * value["norm_1_gamma"] + value["norm_1_beta"]
        layer = keras.layers.LayerNormalization(epsilon=1e-6)
        layer.build((None, None, 6))
        layer.set_weights([value["norm_1_gamma"].numpy(), value["norm_1_beta"].numpy()])
        np.testing.assert_allclose(y, layer(x), atol=2e-6)
        return y

    def test_a_constant_row_is_beta(self) -> None:
        variables = self.variables()
        y, _ = make_layer(self.spec()).forward(tf.fill([STEPS * BATCH, 6], 3.0), self.call(variables, self.inputs()[1]))
        np.testing.assert_array_equal(y, np.repeat(variables["norm_1_beta"].numpy()[None], STEPS * BATCH, 0))


class Function(LayerContract):
    """A function of each number, behind a linear layer, so that something trains."""

    kind = "stack"
    function: str

    def spec(self) -> LayerSpec:
        inner = (dense_spec("fc", 4, 3), activation_spec("act", 3, self.function))
        return LayerSpec("stack", "both", (), 4, 3, {}, inner)

    def expected(self, x: tf.Tensor, mask: tf.Tensor, value: dict[str, tf.Variable]) -> tf.Tensor:
        return Activation(self.function)(tf.einsum("bti,io->bto", x, value["fc_kernel"]) + value["fc_bias"])


class TestGelu(Function):
    function = "gelu"

    def test_it_is_that_of_keras(self) -> None:
        x = tf.linspace(-6.0, 6.0, 101)
        np.testing.assert_allclose(Activation("gelu")(x), keras.activations.gelu(x, approximate=True), atol=1e-6)


class TestRelu(Function):
    function = "relu"

    def test_its_slope_at_zero_is_zero(self) -> None:
        layer = make_layer(activation_spec("act", 1, "relu"))
        y, trace = layer.forward(tf.constant([[-1.0], [0.0], [2.0]]), self.call({}, self.inputs()[1], set()))
        _, slope = layer.backward(trace, tf.ones([3, 1]), self.call({}, self.inputs()[1], set()), True)
        np.testing.assert_array_equal(y, [[0.0], [0.0], [2.0]])
        np.testing.assert_array_equal(slope, [[0.0], [0.0], [1.0]])


class TestConv(LayerContract):
    kind = "conv"
    dilation, causal = 2, True

    def spec(self) -> LayerSpec:
        return conv_spec("conv_1", 4, 3, self.dilation, causal=self.causal)

    def expected(self, x: tf.Tensor, mask: tf.Tensor, value: dict[str, tf.Variable]) -> tf.Tensor:
        seen = x if self.causal else x * tf.cast(mask, tf.float32)[:, :, None]
        before = (2 if self.causal else 1) * self.dilation
        padded = tf.pad(seen, [[0, 0], [before, 2 * self.dilation - before], [0, 0]])
        kernel = tf.reshape(value["conv_1_kernel"], [3, 4, 4])
        taps = [tf.einsum("bti,io->bto", padded[:, tap * self.dilation :][:, :STEPS], kernel[tap]) for tap in range(3)]
        y = tf.add_n(taps) + value["conv_1_bias"]
        layer = DilatedConvolution(3, self.dilation, causal=self.causal)
        layer.build((None, None, 4))
        layer.set_weights([variable.numpy() for variable in value.values()])
        np.testing.assert_allclose(y, layer(x, mask=mask), atol=2e-6)
        plain = keras.ops.conv(padded, kernel, dilation_rate=self.dilation)  # Keras's own, forward alone
        np.testing.assert_allclose(y, plain + value["conv_1_bias"], atol=2e-6)
        return y


class TestWideConv(TestConv):
    """The earliest row that it looks at lies before every step of the window."""

    dilation = 4


class TestConvOnBothSides(TestConv):
    causal = False


def attention_spec(name: str, size: int, heads: int) -> LayerSpec:
    """Attention between the linear layers that make its queries, keys and values, and what it adds."""
    into = LayerSpec("dense", f"{name}_qkv", (TensorSpec(f"{name}_qkv_kernel", (size, 3 * size)),), size, 3 * size)
    core = LayerSpec("attention", f"{name}_core", (), 3 * size, size, {"heads": heads, "window": STEPS})
    return LayerSpec("stack", name, (), size, size, {}, (into, core, dense_spec(f"{name}_out", size, size)))


class TestAttention(LayerContract):
    """Between linear layers, so that something trains."""

    kind = "stack"
    heads = 2

    def spec(self) -> LayerSpec:
        return attention_spec("att", 4, self.heads)

    def expected(self, x: tf.Tensor, mask: tf.Tensor, value: dict[str, tf.Variable]) -> tf.Tensor:
        parts = tf.split(tf.einsum("bti,io->bto", x, value["att_qkv_kernel"]), 3, axis=2)
        queries, keys, values = (tf.reshape(part, [BATCH, STEPS, self.heads, -1]) for part in parts)
        scores = tf.einsum("bthd,bshd->bhts", queries, keys) / np.sqrt(4 / self.heads)
        seen = np.tril(np.ones((STEPS, STEPS), bool)) & mask.numpy()[:, None, None]  # nor padding
        shares = tf.nn.softmax(tf.where(seen, scores, -np.inf))
        mixed = tf.reshape(tf.einsum("bhts,bshd->bthd", shares, values), [BATCH, STEPS, -1])
        y = tf.einsum("bti,io->bto", mixed, value["att_out_kernel"]) + value["att_out_bias"]
        layer = SelfAttention(self.heads)
        layer.build((None, None, 4))
        layer.set_weights([variable.numpy() for variable in value.values()])
        np.testing.assert_allclose(y * mask.numpy()[..., None], layer(x) * mask.numpy()[..., None], atol=2e-6)
        return y

    def test_one_window_of_padding_is_finite(self) -> None:
        x, mask, _ = self.inputs()
        y, _ = make_layer(self.spec()).forward(tf.zeros_like(rows(x)), self.call(self.variables(), mask & False))
        assert np.isfinite(y).all()


class TestAttentionOfOneHead(TestAttention):
    heads = 1


class TestPositions(LayerContract):
    kind = "positions"

    def spec(self) -> LayerSpec:
        return LayerSpec("positions", "positions", (TensorSpec("positions_embeddings", (STEPS, 4)),), 4, 4,
                         {"scale": 2.0})  # fmt: skip

    def expected(self, x: tf.Tensor, mask: tf.Tensor, value: dict[str, tf.Variable]) -> tf.Tensor:
        y = x * 2.0 + value["positions_embeddings"][None]
        layer = Positions(STEPS, 2.0)
        layer.build((None, None, 4))
        layer.set_weights([value["positions_embeddings"].numpy()])
        np.testing.assert_allclose(y, layer(x), atol=1e-6)
        return y


def adapter(x: tf.Tensor, name: str, value: dict[str, tf.Variable]) -> tf.Tensor:
    names = ("down_kernel", "down_bias", "up_kernel", "up_bias")
    part = {tensor: value[f"{name}_adapter_{tensor}"] for tensor in names}
    narrow = tf.tanh(tf.einsum("bti,iw->btw", x, part["down_kernel"]) + part["down_bias"])
    return tf.einsum("btw,wo->bto", narrow, part["up_kernel"]) + part["up_bias"]


class TestSerialAdapter(LayerContract):
    kind = "adapter"

    def spec(self) -> LayerSpec:
        return adapter_spec(gru_spec("gru_1", 4, 6), "serial", 2, 0)

    def expected(self, x: tf.Tensor, mask: tf.Tensor, value: dict[str, tf.Variable]) -> tf.Tensor:
        y = keras_gru(x, mask, list(value.values())[:3])
        return y + adapter(y, "gru_1", value)


class TestParallelAdapter(LayerContract):
    kind = "adapter"

    def spec(self) -> LayerSpec:
        return adapter_spec(gru_spec("gru_1", 4, 6), "parallel", 2, 1)

    def expected(self, x: tf.Tensor, mask: tf.Tensor, value: dict[str, tf.Variable]) -> tf.Tensor:
        return keras_gru(x, mask, list(value.values())[:3]) + adapter(x, "gru_1", value)

    def test_an_untrained_one_changes_nothing(self) -> None:
        x, mask, _ = self.inputs()
        layer, plain = make_layer(self.spec()), make_layer(self.spec().inner[0])
        start = {name: tf.Variable(value) for name, value in layer.untrained().items()}
        assert start["gru_1_adapter_down_kernel"].numpy().any()
        call = self.call({**self.variables(), **start}, mask)
        np.testing.assert_array_equal(layer.forward(rows(x), call)[0], plain.forward(rows(x), call)[0])


class TestAddedGeluAdapters(LayerContract):
    """P5: three adapters of width 2 are one of width 6 whose matrices are theirs, block by block."""

    kind = "adapter"

    def spec(self) -> LayerSpec:
        return adapter_spec(dense_spec("fc", 4, 5), "serial", 6, 1, "gelu", 3)

    def expected(self, x: tf.Tensor, mask: tf.Tensor, value: dict[str, tf.Variable]) -> tf.Tensor:
        y = tf.einsum("bti,io->bto", x, value["fc_kernel"]) + value["fc_bias"]
        names = ("down_kernel", "down_bias", "up_kernel", "up_bias")
        part = {tensor: value[f"fc_adapter_{tensor}"] for tensor in names}
        found = [y]
        for place in range(3):
            own = slice(2 * place, 2 * place + 2)
            narrow = tf.einsum("bti,iw->btw", y, part["down_kernel"][:, own]) + part["down_bias"][own]
            narrow = keras.activations.gelu(narrow, approximate=True)
            found.append(tf.einsum("btw,wo->bto", narrow, part["up_kernel"][own]) + part["up_bias"][place])
        return tf.add_n(found)


class TestStack(LayerContract):
    kind = "stack"

    def spec(self) -> LayerSpec:
        return LayerSpec("stack", "two", (), 4, 3, {}, (gru_spec("gru_1", 4, 6), dense_spec("fc", 6, 3)))

    def expected(self, x: tf.Tensor, mask: tf.Tensor, value: dict[str, tf.Variable]) -> tf.Tensor:
        y = keras_gru(x, mask, [value[f"gru_1_{name}"] for name in ("kernel", "recurrent_kernel", "bias")])
        return tf.einsum("bti,io->bto", y, value["fc_kernel"]) + value["fc_bias"]


class TestSharedTensors(LayerContract):
    """Two layers that name one tensor: its gradient is the sum of both (CpRec)."""

    kind = "stack"

    def spec(self) -> LayerSpec:
        one, two = dense_spec("one", 4, 4), dense_spec("two", 4, 4)
        shared = LayerSpec("dense", "two", (one.tensors[0], two.tensors[1]), 4, 4)
        return LayerSpec("stack", "both", (), 4, 4, {}, (one, gru_spec("gru_1", 4, 4), shared))

    def expected(self, x: tf.Tensor, mask: tf.Tensor, value: dict[str, tf.Variable]) -> tf.Tensor:
        y = tf.einsum("bti,io->bto", x, value["one_kernel"]) + value["one_bias"]
        y = keras_gru(y, mask, [value[f"gru_1_{name}"] for name in ("kernel", "recurrent_kernel", "bias")])
        return tf.einsum("bti,io->bto", y, value["one_kernel"]) + value["two_bias"]


class TestMask(LayerContract):
    """The mask's vector behind each window's events, and the row that comes of it: one of each window."""

    kind = "stack"

    def spec(self) -> LayerSpec:
        conv = conv_spec("conv_1", 4, 3, 1, causal=False)
        return LayerSpec("stack", "masked", (), 4, 4, {}, (mask_spec(4), conv, at_mask_spec(4)))

    def inputs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        x, mask, upstream = super().inputs()
        return x * mask[..., None].astype(np.float32), mask, upstream[:, :1]  # the table's row of padding is zero

    def call(self, variables: dict[str, tf.Variable], mask: np.ndarray, trained: set[str] | None = None) -> Call:
        wider = np.concatenate([np.ones((BATCH, 1), bool), mask], 1)
        at_mask = wider & ~np.concatenate([mask, np.zeros((BATCH, 1), bool)], 1)
        plain = super().call(variables, wider, trained)
        return dataclasses.replace(plain, steps=STEPS + 1, mask=rows(at_mask[..., None].astype(np.float32)))

    def expected(self, x: tf.Tensor, mask: tf.Tensor, value: dict[str, tf.Variable]) -> tf.Tensor:
        kernel = tf.reshape(value["conv_1_kernel"], [3, 4, 4])
        last = [tf.linalg.matvec(kernel[0], x[row, length - 1], True) for row, length in enumerate(LENGTHS)]
        y = tf.stack(last) + tf.linalg.matvec(kernel[1], value["mask_vector"], True) + value["conv_1_bias"]
        items = tf.cast(mask, tf.int32)
        append, conv = AppendMask(1.0), DilatedConvolution(3, 1, causal=False)
        append.build([(None, None, 4), (None, None)])
        conv.build((None, None, 4))
        for layer, name in ((append, "mask"), (conv, "conv_1")):
            layer.set_weights([variable.numpy() for key, variable in value.items() if key.startswith(name)])
        whole = conv(append([x, items]), mask=append.compute_mask([x, items]))
        np.testing.assert_allclose(tf.repeat(y[:, None], STEPS, 1), AtMask()([whole, items]), atol=2e-6)
        return y[:, None]

    @pytest.mark.parametrize("held", [True, False])
    def test_what_it_says_of_padding_is_so(self, held: bool) -> None:
        """There is none behind it."""
        x, mask, _ = self.inputs()
        y, _ = make_layer(self.spec()).forward(rows(x), self.call(self.variables(), mask))
        assert y.shape == (BATCH, 4)
        assert make_layer(self.spec()).holds(held)

    def test_without_a_step_for_the_mask_it_says_what_is_missing(self) -> None:
        x, mask, _ = self.inputs()
        with pytest.raises(ValueError, match="causal=False"):
            make_layer(self.spec()).forward(rows(x), LayerContract.call(self, self.variables(), mask))


class TestResidual(LayerContract):
    kind = "residual"

    def spec(self) -> LayerSpec:
        inner = (dense_spec("into", 4, 6), adapter_spec(dense_spec("out", 6, 4), "serial", 2, 3))
        return LayerSpec("residual", "block", (), 4, 4, {}, inner)

    def expected(self, x: tf.Tensor, mask: tf.Tensor, value: dict[str, tf.Variable]) -> tf.Tensor:
        y = tf.einsum("bti,io->bto", x, value["into_kernel"]) + value["into_bias"]
        y = tf.einsum("bti,io->bto", y, value["out_kernel"]) + value["out_bias"]
        return x + y + adapter(y, "out", value)


class TestProfile(LayerContract):
    kind = "profile"

    def spec(self) -> LayerSpec:
        return profile_spec("profile", 4, STEPS)

    def expected(self, x: tf.Tensor, mask: tf.Tensor, value: dict[str, tf.Variable]) -> tf.Tensor:
        return Profile()(x, mask=mask)


def collected(contract: type[Any]) -> list[type[Any]]:
    """Subclasses that pytest collects."""
    found = [below for cls in contract.__subclasses__() for below in (cls, *collected(cls))]
    return [cls for cls in found if cls.__name__.startswith("Test")]


def test_every_kind_has_a_contract_test() -> None:
    assert {spec.kind for cls in collected(LayerContract) for spec in walk([cls().spec()])} == set(LAYERS.own)


def test_two_shapes_of_one_tensor_are_refused() -> None:
    one, two = dense_spec("fc", 4, 4), dense_spec("fc", 4, 5)
    with pytest.raises(ValueError, match=r"fc_kernel has two shapes, \(4, 4\) and \(4, 5\)"):
        tensors_of([one, two])


def test_layers_are_walked_inner_ones_first() -> None:
    spec = TestResidual().spec()
    assert [layer.name for layer in walk([spec])] == ["into", "out", "out_adapter", "block"]
