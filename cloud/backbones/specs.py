# SPDX-License-Identifier: Apache-2.0
"""Specs of layers that several backbones have; `pocketrec.device.contract.layers` has those of the first, the GRU's."""

from __future__ import annotations

from pocketrec.device.contract.layers import LayerSpec, TensorSpec

#: Added to the variance of a row by every layer normalisation, in the cloud and on the device.
NORM_EPSILON = 1e-6
#: Of GELU in its tanh form (Hendrycks and Gimpel 2016): sqrt(2 / pi), and the factor of the cube.
GELU_ROOT, GELU_CUBE = 0.7978845608028654, 0.044715


def norm_spec(name: str, size: int, patch: str = "") -> LayerSpec:
    """A ``keras.layers.LayerNormalization(epsilon=NORM_EPSILON)`` over the last axis."""
    tensors = tuple(TensorSpec(f"{name}_{tensor}", (size,)) for tensor in ("gamma", "beta"))
    return LayerSpec("norm", name, tensors, size, size, {"epsilon": NORM_EPSILON}, patch=patch)


def activation_spec(name: str, size: int, function: str) -> LayerSpec:
    """A ``pocketrec.cloud.backbones.keras_layers.Activation``: ``gelu`` in its tanh form, or ``relu``."""
    return LayerSpec("activation", name, (), size, size, {"function": function})


def conv_spec(name: str, size: int, kernel: int, dilation: int, patch: str = "", *, causal: bool = True) -> LayerSpec:
    """A ``pocketrec.cloud.backbones.conv.DilatedConvolution``: each row from those of `kernel` steps, its own the last
    (causal) or in their middle; the kernel's rows are those of the earliest step first."""
    tensors = (TensorSpec(f"{name}_kernel", (kernel * size, size)), TensorSpec(f"{name}_bias", (size,)))
    options = {"kernel": kernel, "dilation": dilation, "causal": causal}
    return LayerSpec("conv", name, tensors, size, size, options, patch=patch)


def residual_spec(name: str, size: int, inner: tuple[LayerSpec, ...], patch: str = "") -> LayerSpec:
    """Layers whose output is added to their input."""
    return LayerSpec("residual", name, (), size, size, {}, inner, patch=patch)
