# SPDX-License-Identifier: Apache-2.0
"""The contract of layers for each kind that stands alone: dense, GRU, convolution, attention, norms, masks, profile."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from layer_contract import BATCH, LENGTHS, STEPS, LayerContract, rows

from pocketrec.cloud.backbones.cloze import AppendMask, AtMask, at_mask_spec, mask_spec
from pocketrec.cloud.backbones.conv import DilatedConvolution
from pocketrec.cloud.backbones.keras_layers import Activation
from pocketrec.cloud.backbones.mingru_layer import MinGru
from pocketrec.cloud.backbones.mingru_specs import mingru_spec
from pocketrec.cloud.backbones.profile import Profile, profile_spec
from pocketrec.cloud.backbones.sasrec_layers import Positions, SelfAttention
from pocketrec.cloud.backbones.specs import activation_spec, conv_spec, norm_spec
from pocketrec.device.contract.layers import LayerSpec, TensorSpec, dense_spec, gru_spec
from pocketrec.export.layers.layer import Call, make_layer


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


class TestProfile(LayerContract):
    kind = "profile"

    def spec(self) -> LayerSpec:
        return profile_spec("profile", 4, STEPS)

    def expected(self, x: tf.Tensor, mask: tf.Tensor, value: dict[str, tf.Variable]) -> tf.Tensor:
        return Profile()(x, mask=mask)
