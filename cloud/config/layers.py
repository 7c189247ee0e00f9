# SPDX-License-Identifier: Apache-2.0
"""The layers that the exporter can re-state for a device, and the checks that a configuration asks for no other layer,
and for no ranker that lacks a side."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from pocketrec.cloud.config.model import BACKBONES
from pocketrec.cloud.config.ranker import RANKERS, RankerChoice
from pocketrec.device.base.choices import Choice, Table
from pocketrec.device.base.errors import ConfigError
from pocketrec.device.contract.layers import LayerSpec, walk

if TYPE_CHECKING:
    from pocketrec.cloud.config.run import RunConfig

#: Kind of a `LayerSpec` -> class with its forward and backward pass (`pocketrec.export.layers.layer.DeviceLayer`).
LAYERS: Final = Table(
    "layer kind",
    {
        "gru": Choice("pocketrec.export.layers.gru:Gru", "`keras.layers.GRU` with `reset_after`"),
        "dense": Choice("pocketrec.export.layers.dense:Dense", "`keras.layers.Dense` without activation"),
        "adapter": Choice("pocketrec.export.layers.adapter:Adapter", "a layer with an adapter after or beside it"),
        "mingru": Choice("pocketrec.export.layers.mingru:MinGru", "a minimal GRU, without a product at each step"),
        "norm": Choice("pocketrec.export.layers.norm:Norm", "`keras.layers.LayerNormalization` of each row"),
        "activation": Choice("pocketrec.export.layers.activation:Activation", "GELU in its tanh form, or ReLU"),
        "conv": Choice("pocketrec.export.layers.conv:Conv", "a dilated convolution over the steps of a window"),
        "attention": Choice(
            "pocketrec.export.layers.attention:Attention", "causal attention over a window's queries, keys and values"
        ),
        "positions": Choice(
            "pocketrec.export.layers.positions:Positions", "adds a row of a table for each place in the window"
        ),
        "append_mask": Choice("pocketrec.export.layers.cloze:AppendMask", "a trained vector after the last event"),
        "at_mask": Choice("pocketrec.export.layers.cloze:AtMask", "the row at that vector's place, one of each window"),
        "profile": Choice(
            "pocketrec.export.layers.profile:Profile", "mean, deviation and count of a window's rows so far"
        ),
        "stack": Choice("pocketrec.export.layers.stack:Stack", "layers one after the other"),
        "residual": Choice("pocketrec.export.layers.stack:Residual", "layers whose output is added to their input"),
    },
    "pocketrec.layers",
)


def check_backbone(config: RunConfig) -> None:
    """Refuse a backbone that could be trained and not exported, before anything is trained.

    Our own backbones are left out, since a test knows that the exporter has all their layers: to ask one loads
    TensorFlow, which reading a configuration must not cost. One of an installed package is asked.

    Raises:
        ConfigError: the backbone has a layer of a kind that the exporter does not know.
    """
    name = config.model.backbone
    if name in BACKBONES.own:
        return
    made = BACKBONES.load(name)()  # in any case: a Keras file is read only where the classes of its layers are known
    if config.model.tied:  # there is no export with two item tables
        check_layers(made.layers(config.model), name)


def check_layers(layers: Iterable[LayerSpec], backbone: str) -> None:
    """Refuse layers that the exporter does not know.

    Raises:
        ConfigError: the message names the layer and lists the known kinds.
    """
    for layer in walk(layers):
        if layer.kind not in LAYERS:
            raise ConfigError(
                f"[model] backbone {backbone!r} has a layer {layer.name!r} of kind {layer.kind!r}, which the exporter "
                f"does not know: the known kinds are {', '.join(LAYERS)}; a package adds one by an entry point of the "
                f"group {LAYERS.group}"
            )


def check_ranker(config: RunConfig) -> None:
    """Refuse a ranker that could be trained and not exported, or not be used on a device, before anything is trained.

    Raises:
        ConfigError: a side of the ranker is missing.
    """
    from pocketrec.device.contract.rankers import RANKERS as DEVICE_RANKERS

    kind, choice = config.ranker.kind, RANKERS[config.ranker.kind]
    if not config.model.tied or config.ranker.second:  # no export with two item tables; a second stage may be left out
        return
    if not (isinstance(choice, RankerChoice) and choice.training and choice.graph):
        missing = "graph" if getattr(choice, "training", "") else "training"
        raise ConfigError(
            f"[ranker] kind {kind!r} has no side {missing!r}: its line must be a RankerChoice that names one; correct "
            "its package, or choose another ranker"
        )
    if kind not in DEVICE_RANKERS:
        raise ConfigError(
            f"[ranker] kind {kind!r} has no function for devices: its package adds one by an entry point of the group "
            f"{DEVICE_RANKERS.group}; correct the package, or choose another ranker"
        )
