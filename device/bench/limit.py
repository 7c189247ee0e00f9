# SPDX-License-Identifier: Apache-2.0
"""The arithmetic limit of a call: its multiplications and additions at the rate of this core's matrix product.

Only matrix products count, two operations (FLOP) for each multiply-add. The exporter, which knows the layers, writes
the numbers into the manifest (``flop``). Bundles from before it did so have GRUs: with B windows of T steps, item
embeddings of E, layers l with I_l inputs and H units (I_1 = E, else H), and M items in the loss (all, or the
negatives):

    forward pass                 F(n)  = n sum_l 6 H (I_l + H) + 2 n H E        for n = B T steps
    train step   F(BT) + 4 BT E M (logits, and their gradient by the user embeddings)
                       + 2 BT H E (gradient of FC)
                       + where GRU layers train: 2 BT H E (gradient of the states)
                         + sum over trained layers of 6 BT H (I_l + H) (weights) + 6 BT H H (back through time)
                         + 6 BT H I_l for every trained layer above another trained one (its inputs)
    embed        F(T)
    infer        F(T) + 2 C E      for C candidates

Element-wise work, softmax, lookups and the optimiser are not counted: they are what a step takes beyond the limit.
This module knows nothing about how a model computes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pocketrec.device.base import documents

#: Size n of the n x n x n product, float32: large enough to run at full rate, small enough for a board.
SGEMM_SIZE: Final = 512
_REPEATS: Final = 30
_KINDS: Final = ("train", "embed", "infer")

_SGEMM: Final = """
import json, sys, time
import numpy as np
n, repeats = int(sys.argv[1]), int(sys.argv[2])
a = np.random.default_rng(1).random((n, n), np.float32)
out, times = np.empty_like(a), []
for _ in range(repeats + 3):
    started = time.perf_counter()
    np.matmul(a, a, out=out)
    times.append(time.perf_counter() - started)
print(json.dumps(2 * n**3 / float(np.median(times[3:])) / 1e9))
"""


def flop(model: Mapping[str, Any], trainable: Iterable[str]) -> dict[str, int] | None:
    """FLOP of a train step, of embed and of infer: those that the manifest gives, else by the formulas above.

    Args:
        model: facts of the manifest's ``model`` table.
        trainable: names of the trained tensors, such as ``gru_2_kernel``.

    Returns:
        By kind; None where the manifest does not tell and the model is not one that the formulas describe.
    """
    if "flop" in model:
        told = model["flop"]
        good = isinstance(told, Mapping) and all(type(told.get(kind)) is int and told[kind] > 0 for kind in _KINDS)
        return {kind: told[kind] for kind in _KINDS} if good else None
    names = set(trainable)
    try:
        batch, window, embedding, hidden, layers = (
            int(model[name]) for name in ("batch", "window", "embedding", "hidden", "layers")
        )
        compared = int(model["negatives"]) or int(model["items"])
        scored = int(model["candidates"])
    except (KeyError, TypeError, ValueError):
        return None
    trained = [layer for layer in range(1, layers + 1) if f"gru_{layer}_kernel" in names]
    if model.get("backbone") != "gru" or len(names) != 3 * len(trained) + 2:
        return None
    inputs = [embedding, *[hidden] * (layers - 1)]

    def forward(steps: int) -> int:
        return sum(6 * steps * hidden * (size + hidden) for size in inputs) + 2 * steps * hidden * embedding

    steps = batch * window
    train = forward(steps) + 4 * steps * embedding * compared + 2 * steps * hidden * embedding
    if trained:
        train += 2 * steps * hidden * embedding
    for layer in trained:
        train += 6 * steps * hidden * (inputs[layer - 1] + hidden) + 6 * steps * hidden * hidden
        if layer != trained[0]:
            train += 6 * steps * hidden * inputs[layer - 1]
    return {"train": train, "embed": forward(window), "infer": forward(window) + 2 * scored * embedding}


def sgemm_gflops(threads: int = 1) -> float | None:
    """Rate of numpy's float32 matrix product here, in 10^9 FLOP a second; None where it cannot be measured.

    Measured in a process of its own, which alone can be held to `threads` threads, and whose memory is not ours. How
    fast numpy is depends on its BLAS: OpenBLAS in the wheels, sometimes none in a system's own package.
    """
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(names, str(threads))}
    command = [sys.executable, "-P", "-c", _SGEMM, str(SGEMM_SIZE), str(_REPEATS)]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=True)
        return float(documents.parse(done.stdout))
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
