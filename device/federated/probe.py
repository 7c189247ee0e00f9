# SPDX-License-Identifier: Apache-2.0
"""Calls the signatures of a contribution file on given inputs and stores the outputs.

The gate of contribution files runs this in a process of its own for each runtime, as it runs
`pocketrec.device.engine.probe` on a bundle's model file. Run as
``python -m pocketrec.device.federated.probe MODEL INPUTS.npz OUTPUTS.npz RUNTIME``.
"""

from __future__ import annotations

import sys

import numpy as np

from pocketrec.device.base.array import Array
from pocketrec.device.contract.federated import KEPT
from pocketrec.device.engine.probe import run
from pocketrec.device.federated.model import ContributionModel

#: Before the name of a tensor among the inputs.
WEIGHTS = "weights."


def probe(model: ContributionModel, inputs: dict[str, Array]) -> dict[str, Array]:
    """Gradients of every batch.

    Args:
        model: freshly loaded.
        inputs: ``items`` and ``targets`` int32 [S, B, T], one batch for each call; ``negatives`` int32 [S, n] (n = 0
            for the full softmax); ``kept`` float32 [S, B, T, E]; ``weights.NAME`` float32.

    Returns:
        ``loss`` and ``count`` [S], and ``NAME`` [S, ...] of every tensor.
    """
    model.set_weights({name.removeprefix(WEIGHTS): value for name, value in inputs.items() if name.startswith(WEIGHTS)})
    drawn = list(inputs["negatives"]) if model.negatives else [None] * len(inputs["items"])
    batches = zip(inputs["items"], inputs["targets"], drawn, inputs[KEPT], strict=True)
    calls = [model.gradient(*batch) for batch in batches]
    return {
        "loss": np.array([loss for loss, _, _ in calls]),
        "count": np.array([count for _, count, _ in calls]),
        **{name: np.stack([gradients[name] for _, _, gradients in calls]) for name in model.tensors},
    }


def main(arguments: list[str]) -> int:
    """Entry point; see `pocketrec.device.engine.probe.run`."""
    return run(arguments, lambda path, runtime, inputs: probe(ContributionModel(path, runtime), inputs))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
