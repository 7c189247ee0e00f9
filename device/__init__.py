# SPDX-License-Identifier: Apache-2.0
"""The device runner: numpy, a TensorFlow Lite runtime and the standard library, nothing else.

`Recommender` is what an application uses; its example is in docs/device.md. Importing this package imports none of
its modules before they are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pocketrec.device.base.errors import PocketRecError
    from pocketrec.device.delivery.bundle import open_bundle
    from pocketrec.device.recommender import Recommender

__all__ = ["PocketRecError", "Recommender", "open_bundle"]

_HOMES = {"PocketRecError": "base.errors", "Recommender": "recommender", "open_bundle": "delivery.bundle"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
