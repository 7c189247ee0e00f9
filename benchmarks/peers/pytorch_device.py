# SPDX-License-Identifier: Apache-2.0
"""The device's work at the reference configuration R in PyTorch; started by peers/device.py with PyTorch's interpreter.

    PYTHON benchmarks/peers/pytorch_device.py NEGATIVES CALLS      # 0 negatives: the full softmax

The last GRU layer and FC are trained with Adagrad and pulled to where they began; the first layer and the item table
are frozen, and the first layer runs without a graph. Prints CPU milliseconds of every call as JSON. Imports nothing of
ours.
"""

from __future__ import annotations

import json
import resource
import sys
import time

import torch

ITEMS, EMBEDDING, HIDDEN, BATCH, WINDOW = 3706, 64, 96, 16, 20
RATE, PROXIMAL, WARM_UP = 0.01, 0.05, 20


def main(negatives: int, calls: int) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(1)
    table = torch.randn(ITEMS + 1, EMBEDDING) * 0.1  # (N + 1, E)
    lower = torch.nn.GRU(EMBEDDING, HIDDEN, batch_first=True).requires_grad_(False)
    upper = torch.nn.GRU(HIDDEN, HIDDEN, batch_first=True)
    fc = torch.nn.Linear(HIDDEN, EMBEDDING)
    trained = [*upper.parameters(), *fc.parameters()]
    origin = [parameter.detach().clone() for parameter in trained]
    optimizer = torch.optim.Adagrad(trained, lr=RATE)
    window = torch.randint(1, ITEMS + 1, (BATCH, WINDOW + 1))
    items, targets = window[:, :-1], window[:, 1:].reshape(-1)
    drawn = torch.randint(1, ITEMS + 1, (max(1, negatives),))

    def train() -> float:
        with torch.no_grad():
            states, _ = lower(table[items])  # (B, T, H)
        users = fc(upper(states)[0]).reshape(-1, EMBEDDING)  # (B * T, E)
        if negatives:
            own = (users * table[targets]).sum(1, keepdim=True)
            logits = torch.cat([own, users @ table[drawn].T], 1)  # (B * T, 1 + S)
            loss = torch.nn.functional.cross_entropy(logits, torch.zeros_like(targets))
        else:
            loss = torch.nn.functional.cross_entropy(users @ table[1:].T, targets - 1)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        with torch.no_grad():
            gradients = [parameter.grad for parameter in trained if parameter.grad is not None]
            torch._foreach_add_(gradients, torch._foreach_sub(trained, origin), alpha=PROXIMAL)
        optimizer.step()
        return loss.item()

    @torch.inference_mode()
    def embed() -> torch.Tensor:
        return fc(upper(lower(table[items[:1]])[0])[0][:, -1])

    raw = {}
    for name, call in (("train", train), ("embed", embed)):
        for _ in range(WARM_UP):
            call()
        series = []
        for _ in range(calls):
            started = time.process_time()
            call()
            series.append(round((time.process_time() - started) * 1e3, 4))
        raw[name] = series
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(json.dumps({"version": torch.__version__, "peak_rss_mb": round(peak, 1), "raw_ms": raw}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
