# SPDX-License-Identifier: Apache-2.0
"""What is tuned for a task, and from which start. No TensorFlow here: who asks what trains need not wait for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pocketrec.cloud.config.export import ExportConfig
from pocketrec.cloud.ways.way import Layers, apply
from pocketrec.device.contract.layers import count, tensors_of


@dataclass(frozen=True)
class Method:
    """A line's target in the table of methods (`pocketrec.cloud.config.transfer.METHODS`)."""

    pretrained: bool = True
    """Whether it starts from the pretrained backbone; else from a new one."""
    way: str = ""
    """The way to personalise whose layers it puts beside the backbone and whose tensors it trains; "" = none."""
    body: bool = False
    """Whether the whole backbone trains, its item table included."""
    head: bool = True
    """Whether the task's head trains."""

    @property
    def trains(self) -> bool:
        """Whether anything trains."""
        return self.body or self.head or bool(self.way)


FINE_ALL: Final = Method(body=True)
FINE_LAST: Final = Method()
FINE_ZERO: Final = Method(pretrained=False, body=True)
UNTUNED: Final = Method(head=False)
SERIAL: Final = Method(way="patch")
PARALLEL: Final = Method(way="patch_parallel")


@dataclass(frozen=True)
class Plan:
    """A method on a backbone."""

    layers: Layers
    """The backbone's, with those of the patch."""
    trained: tuple[str, ...]
    """Names of the layers' tensors that train."""
    backbone: int
    """Numbers of the backbone without its item table."""

    @property
    def numbers(self) -> int:
        """Trained numbers of the layers: without item table and head."""
        return count(self.layers, self.trained)


def plan(method: Method, layers: Layers, options: ExportConfig) -> Plan:
    """What a method makes of a backbone's layers.

    Raises:
        ConfigError: the way does not suit the backbone.
    """
    own = tensors_of(layers)
    numbers = count(layers, own)
    if method.way:
        applied = apply(method.way, layers, options)
        return Plan(applied.layers, applied.trained, numbers)
    return Plan(layers, tuple(own) if method.body else (), numbers)
