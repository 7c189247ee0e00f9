# SPDX-License-Identifier: Apache-2.0
"""What a way to personalise is, and what it makes of a model's layers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from pocketrec.cloud.config.export import ExportConfig
from pocketrec.cloud.config.personalise import WAYS
from pocketrec.device.base.errors import ConfigError
from pocketrec.device.contract.layers import LayerSpec, count, tensors_of

Layers = tuple[LayerSpec, ...]


class Way(Protocol):
    """Says what a device trains."""

    colour: str
    """Colour class of the way in reports: personal, global, naive or other."""

    def layers(self, layers: Layers, options: ExportConfig) -> Layers:
        """The layers of the model on the device.

        Args:
            layers: the backbone's.
            options: the configuration's table ``[export]``.

        Returns:
            The same, or with layers wrapped in others whose untrained tensors change nothing of what the model says.
        """
        ...

    def trains(self, layers: Layers) -> Iterable[str]:
        """Names of the tensors that the device trains, of the layers that `layers` gave."""
        ...


@dataclass(frozen=True)
class Applied:
    """A way applied to a model."""

    layers: Layers
    """Layers of the model on the device."""
    trained: tuple[str, ...]
    """Names of the trained tensors, in the order of the layers."""

    @property
    def numbers(self) -> int:
        """Trained numbers: the fewer, the gentler the way."""
        return count(self.layers, self.trained)


def apply(name: str, layers: Layers, options: ExportConfig) -> Applied:
    """What the way of this name makes of a backbone's layers.

    Raises:
        ConfigError: there is no such way, or it trains nothing of this backbone, or names what it does not have.
    """
    way: Way = WAYS.load(name)()
    whole = way.layers(layers, options)
    tensors, wanted = tensors_of(whole), set(way.trains(whole))
    if not wanted or wanted - tensors.keys():
        missing = ", ".join(sorted(wanted - tensors.keys())) or "no tensor"
        raise ConfigError(f"the way {name!r} does not suit this backbone: it trains {missing}; choose another way")
    return Applied(whole, tuple(tensor for tensor in tensors if tensor in wanted))
