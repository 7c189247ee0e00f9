"""Specs of layers that several backbones have; `pocketrec.device.contract.layers` has those of the first, the GRU's."""

from __future__ import annotations

from pocketrec.device.contract.layers import LayerSpec, TensorSpec

#: Added to the variance of a row by every layer normalisation, in the cloud and on the device.
NORM_EPSILON = 1e-6


def norm_spec(name: str, size: int, patch: str = "") -> LayerSpec:
    """A ``keras.layers.LayerNormalization(epsilon=NORM_EPSILON)`` over the last axis."""
    tensors = tuple(TensorSpec(f"{name}_{tensor}", (size,)) for tensor in ("gamma", "beta"))
    return LayerSpec("norm", name, tensors, size, size, {"epsilon": NORM_EPSILON}, patch=patch)


def activation_spec(name: str, size: int, function: str) -> LayerSpec:
    """A ``pocketrec.cloud.backbones.keras_layers.Activation``: ``gelu`` in its tanh form, or ``relu``."""
    return LayerSpec("activation", name, (), size, size, {"function": function})


def residual_spec(name: str, size: int, inner: tuple[LayerSpec, ...], patch: str = "") -> LayerSpec:
    """Layers whose output is added to their input."""
    return LayerSpec("residual", name, (), size, size, {}, inner, patch=patch)
