# SPDX-License-Identifier: Apache-2.0
"""The contract of layers that hold others: adapters, stacks, blocks, shared tensors; every kind has such a test."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import test_layers
from layer_contract import LayerContract, rows
from test_layers import keras_gru

from pocketrec.cloud.config.layers import LAYERS
from pocketrec.device.contract.layers import LayerSpec, adapter_spec, dense_spec, gru_spec, tensors_of, walk
from pocketrec.export.layers.layer import make_layer


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


class TestResidual(LayerContract):
    kind = "residual"

    def spec(self) -> LayerSpec:
        inner = (dense_spec("into", 4, 6), adapter_spec(dense_spec("out", 6, 4), "serial", 2, 3))
        return LayerSpec("residual", "block", (), 4, 4, {}, inner)

    def expected(self, x: tf.Tensor, mask: tf.Tensor, value: dict[str, tf.Variable]) -> tf.Tensor:
        y = tf.einsum("bti,io->bto", x, value["into_kernel"]) + value["into_bias"]
        y = tf.einsum("bti,io->bto", y, value["out_kernel"]) + value["out_bias"]
        return x + y + adapter(y, "out", value)


def collected(contract: type[Any]) -> list[type[Any]]:
    """Subclasses that pytest collects in the two files of this folder."""
    found = [below for cls in contract.__subclasses__() for below in (cls, *collected(cls))]
    here = (__name__, test_layers.__name__)  # those of an installed package would count kinds of their own
    return [cls for cls in found if cls.__name__.startswith("Test") and cls.__module__ in here]


def test_every_kind_has_a_contract_test() -> None:
    assert {spec.kind for cls in collected(LayerContract) for spec in walk([cls().spec()])} == set(LAYERS.own)


def test_two_shapes_of_one_tensor_are_refused() -> None:
    one, two = dense_spec("fc", 4, 4), dense_spec("fc", 4, 5)
    with pytest.raises(ValueError, match=r"fc_kernel has two shapes, \(4, 4\) and \(4, 5\)"):
        tensors_of([one, two])


def test_layers_are_walked_inner_ones_first() -> None:
    spec = TestResidual().spec()
    assert [layer.name for layer in walk([spec])] == ["into", "out", "out_adapter", "block"]
