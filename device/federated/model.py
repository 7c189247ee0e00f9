# SPDX-License-Identifier: Apache-2.0
"""The contribution file in a runtime: its signature `gradient`, at weights that are set beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pocketrec.device.base.array import Array
from pocketrec.device.base.errors import BundleError, FederatedError
from pocketrec.device.contract import names as contract
from pocketrec.device.contract.federated import COUNT, GRADIENT, KEPT
from pocketrec.device.engine.runtime import load_interpreter


class ContributionModel:
    """A contribution file. It holds no weights of its own: `set_weights` comes before `gradient`.

    Args:
        path: the .tflite file.
        runtime: auto, ai_edge_litert or tflite_runtime.
        threads: threads of the runtime's kernels.

    Raises:
        BundleError: the file is missing, unreadable, or no contribution file.
        RuntimeMissingError: no usable runtime.
    """

    def __init__(self, path: str | Path, runtime: str = "auto", threads: int = 1) -> None:
        self._interpreter, self.runtime = load_interpreter(path, runtime, threads)
        signatures = self._interpreter.get_signature_list()
        if GRADIENT not in signatures or contract.IMPORT_WEIGHTS not in signatures:
            raise BundleError(f"{path} is no contribution file: fetch it again, or export it with `pocketrec federate`")
        self._gradient = self._interpreter.get_signature_runner(GRADIENT)
        self._import = self._interpreter.get_signature_runner(contract.IMPORT_WEIGHTS)
        inputs = {name: _shape(entry) for name, entry in self._gradient.get_input_details().items()}
        if KEPT not in inputs:
            raise BundleError(f"{path} is of an earlier release of PocketRec: fetch it again, or export it again")
        self.batch, self.window, self.size = inputs[KEPT]
        self._all = np.ones(inputs[KEPT], np.float32)
        self.targets = inputs[contract.TARGETS][1]
        self.negatives = inputs[contract.NEGATIVES][0] if contract.NEGATIVES in inputs else 0
        self.tensors = {name: _shape(entry) for name, entry in sorted(self._import.get_input_details().items())}

    batch: int
    """Windows B of a call."""
    window: int
    """Events T of a window."""
    size: int
    """Numbers E of an item's embedding."""
    targets: int
    """Targets of a window, T or 1 (`pocketrec.device.engine.model.Model.targets`)."""
    negatives: int
    """Negatives S that a call takes; 0 where the loss is the full softmax."""
    tensors: dict[str, tuple[int, ...]]
    """Shape of every federated tensor by name."""

    def set_weights(self, weights: Mapping[str, Array]) -> None:
        """Set the weights at which gradients are taken, float32 by name.

        Raises:
            FederatedError: a tensor is missing, unknown, of another shape, or not finite. Nothing was changed.
        """
        if weights.keys() != self.tensors.keys():
            raise FederatedError("the round's weights are not those of the contribution file: fetch both again")
        for name, shape in self.tensors.items():
            if weights[name].shape != shape or not np.isfinite(weights[name]).all():
                raise FederatedError(f"the round's {name} is not finite or not of shape {list(shape)}: fetch it again")
        self._import(**{name: np.ascontiguousarray(weights[name], np.float32) for name in self.tensors})

    def gradient(
        self, items: Array, targets: Array, negatives: Array | None = None, kept: Array | None = None
    ) -> tuple[float, int, dict[str, Array]]:
        """Loss, counted targets, and gradients, each a sum over the counted targets of a batch.

        Args:
            items: int32 [B, T], right-padded with 0.
            targets: int32 [B, `targets`]; 0 = does not count.
            negatives: int32 [S], where the model takes them.
            kept: float32 [B, T, E], what the items' embeddings are multiplied by (the plan's dropout); None = ones.

        Returns:
            Loss in nats; number of targets; float32 gradients by tensor name.
        """
        inputs: dict[str, Any] = {contract.ITEMS: items, contract.TARGETS: targets}
        inputs[KEPT] = self._all if kept is None else kept
        if negatives is not None:
            inputs[contract.NEGATIVES] = negatives
        outputs = self._gradient(**inputs)
        return float(outputs[contract.LOSS]), int(outputs[COUNT]), {name: outputs[name] for name in self.tensors}


def _shape(entry: Mapping[str, Any]) -> tuple[int, ...]:
    return tuple(int(size) for size in entry["shape"])
