# SPDX-License-Identifier: Apache-2.0
"""What a next-item model is made of, as data: one `LayerSpec` for each layer, in the manifest as JSON.

A backbone says it of itself, a way to personalise wraps layers and names what trains, the exporter builds the graph
from it, and the model card and the report tell it. Two layers that name one tensor share it. This module knows
nothing about how a layer computes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from pocketrec.device.base.fields import AtLeast, take

#: Roles of a layer: what comes before the user embedding, and what makes it.
BODY: Final = "body"
HEAD: Final = "head"
#: What a patch does with a layer: an adapter goes after (or beside) it, or it is trained with the patch as it is.
ADAPTER: Final = "adapter"
TRAINED: Final = "trained"

#: Place of the specs in the manifest's table ``tensors``, which readers of earlier bundles pass over.
LAYERS_KEY: Final = "layers"
_DEEPEST: Final = 20  # layers within layers
_Count = Annotated[int, AtLeast(0)]
_Size = Annotated[int, AtLeast(1)]


@dataclass(frozen=True)
class TensorSpec:
    """One float32 tensor of a layer."""

    name: str
    """Its name in the model, the file and the personal state: ``<keras layer>_<variable>``, such as ``fc_kernel``."""
    shape: tuple[int, ...]
    """Its sizes."""

    @property
    def size(self) -> int:
        """Numbers in it."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class LayerSpec:
    """One layer.

    Raises:
        ValueError: the role or the patch is not one of those known.
    """

    kind: str
    """Line of the exporter's table of layers, such as ``gru``."""
    name: str
    """Name of the Keras layer, such as ``gru_1``; of a layer that wraps others, any other name."""
    tensors: tuple[TensorSpec, ...] = ()
    """Its own tensors in the order of its kind, without those of inner layers."""
    inputs: int = 0
    """Numbers of an input row."""
    outputs: int = 0
    """Numbers of an output row."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What else its kind wants to know: plain JSON values."""
    inner: tuple[LayerSpec, ...] = ()
    """Layers inside, in the order in which they run."""
    role: str = BODY
    """``body``, or ``head``: the last layer, which makes the user embedding."""
    patch: str = ""
    """``adapter``: a patch puts an adapter here; ``trained``: a patch trains this layer too; empty: neither. Where no
    layer of a model says ``adapter``, each outermost one gets one."""

    def __post_init__(self) -> None:
        for name, known in (("role", (BODY, HEAD)), ("patch", ("", ADAPTER, TRAINED))):
            if getattr(self, name) not in known:
                raise ValueError(f"layer {self.name!r}: {name} {getattr(self, name)!r} is not one of {known}")

    def to_dict(self) -> dict[str, Any]:
        """The layer as plain tables for JSON; what is empty or usual is left out."""
        table: dict[str, Any] = {"kind": self.kind, "name": self.name, "inputs": self.inputs, "outputs": self.outputs}
        if self.tensors:
            table["tensors"] = [{"name": tensor.name, "shape": list(tensor.shape)} for tensor in self.tensors]
        if self.options:
            table["options"] = dict(self.options)
        if self.inner:
            table["inner"] = [layer.to_dict() for layer in self.inner]
        if self.role != BODY:
            table["role"] = self.role
        if self.patch:
            table["patch"] = self.patch
        return table

    @classmethod
    def from_dict(cls, table: Any, depth: int = 0) -> LayerSpec:
        """The inverse of `to_dict`; keys of later versions are passed over.

        Raises:
            ValueError: a value is missing or of another form.
        """
        if not isinstance(table, dict) or depth > _DEEPEST:
            raise ValueError("a layer is not a table, or lies too deep")
        texts = [table.get("kind"), table.get("name"), table.get("role", BODY), table.get("patch", "")]
        kind, name, role, patch = (text if isinstance(text, str) else _refuse("kind, name or role") for text in texts)
        options = table.get("options", {})
        inputs, outputs = (take(_Count, table.get(size), f"layer {name}: {size}") for size in ("inputs", "outputs"))
        return cls(
            kind, name, tuple(_tensor(entry) for entry in _list(table, "tensors")),
            inputs, outputs, options if isinstance(options, dict) else _refuse("options"),
            tuple(cls.from_dict(entry, depth + 1) for entry in _list(table, "inner")), role, patch,
        )  # fmt: skip


def walk(layers: Iterable[LayerSpec]) -> Iterator[LayerSpec]:
    """Every layer, in the order in which they run; a layer that wraps others comes after them."""
    for layer in layers:
        yield from walk(layer.inner)
        yield layer


def tensors_of(layers: Iterable[LayerSpec]) -> dict[str, TensorSpec]:
    """Every tensor by its name, in the order of `walk`; a shared one once.

    Raises:
        ValueError: two layers name one tensor with different shapes.
    """
    found: dict[str, TensorSpec] = {}
    for layer in walk(layers):
        for tensor in layer.tensors:
            if found.setdefault(tensor.name, tensor) != tensor:
                raise ValueError(f"tensor {tensor.name} has two shapes, {found[tensor.name].shape} and {tensor.shape}")
    return found


def count(layers: Iterable[LayerSpec], names: Iterable[str]) -> int:
    """Numbers in the tensors of these names."""
    tensors = tensors_of(layers)
    return sum(tensors[name].size for name in names)


def specs_of(model: Mapping[str, Any], tensors: Mapping[str, Any]) -> tuple[LayerSpec, ...]:
    """The layers of a bundle, those of bundles from before manifests named them included.

    Args:
        model: the manifest's table ``model``.
        tensors: the manifest's table ``tensors``.

    Returns:
        Empty where the manifest does not say.

    Raises:
        ValueError: the manifest's entry is damaged.
    """
    if LAYERS_KEY in tensors:
        return tuple(LayerSpec.from_dict(entry) for entry in _list(tensors, LAYERS_KEY))
    if model.get("backbone") != "gru" or model.get("adapter"):  # the only backbone at that time
        return ()
    counts = ("embedding", "hidden", "layers")
    embedding, hidden, layers = (take(_Size, model.get(name), f"model.{name}") for name in counts)
    sizes = [embedding, *[hidden] * (min(layers, 100) - 1)]
    return (
        *(gru_spec(f"gru_{place}", size, hidden) for place, size in enumerate(sizes, 1)),
        dense_spec("fc", hidden, embedding, HEAD),
    )


def gru_spec(name: str, inputs: int, units: int) -> LayerSpec:
    """A ``keras.layers.GRU(units, reset_after=True)``."""
    shapes = {"kernel": (inputs, 3 * units), "recurrent_kernel": (units, 3 * units), "bias": (2, 3 * units)}
    return LayerSpec("gru", name, _named(name, shapes), inputs, units)


def dense_spec(name: str, inputs: int, outputs: int, role: str = BODY, patch: str = "") -> LayerSpec:
    """A ``keras.layers.Dense`` without activation."""
    shapes = {"kernel": (inputs, outputs), "bias": (outputs,)}
    return LayerSpec("dense", name, _named(name, shapes), inputs, outputs, role=role, patch=patch)


def adapter_spec(
    layer: LayerSpec, form: str, width: int, number: int, function: str = "tanh", cardinality: int = 1
) -> LayerSpec:
    """A layer with a bottleneck adapter, or with several that are added.

    Args:
        layer: what is wrapped.
        form: ``serial``: the adapter reads the layer's output; ``parallel``: its input.
        width: size W of the bottleneck.
        number: its place among the adapters of the model, from 0: its random start follows from it.
        function: of the bottleneck: ``tanh`` or ``gelu``.
        cardinality: c; with more than one, c adapters of width W / c: the kernels have theirs side by side and one
            below the other, so that one product serves all, and ``up_bias`` has a row for each.
    """
    name, inputs = f"{layer.name}_adapter", layer.outputs if form == "serial" else layer.inputs
    shapes: dict[str, tuple[int, ...]] = {
        "down_kernel": (inputs, width), "down_bias": (width,),
        "up_kernel": (width, layer.outputs),
        "up_bias": (layer.outputs,) if cardinality == 1 else (cardinality, layer.outputs),
    }  # fmt: skip
    options: dict[str, Any] = {"form": form, "number": number}
    options |= {} if function == "tanh" else {"function": function}  # what is usual was there before there were others
    options |= {} if cardinality == 1 else {"cardinality": cardinality}
    return LayerSpec("adapter", name, _named(name, shapes), layer.inputs, layer.outputs, options, (layer,), layer.role)


def _named(layer: str, shapes: Mapping[str, tuple[int, ...]]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(f"{layer}_{name}", shape) for name, shape in shapes.items())


def _tensor(entry: Any) -> TensorSpec:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise ValueError("a layer's tensor has no name")
    name = entry["name"]
    return TensorSpec(name, tuple(take(_Size, size, f"{name}: shape") for size in _list(entry, "shape")))


def _list(table: Mapping[str, Any], name: str) -> list[Any]:
    value = table.get(name, [])
    return value if isinstance(value, list) else _refuse(name)


def _refuse(name: str) -> Any:
    raise ValueError(f"a layer's {name} has another form")
