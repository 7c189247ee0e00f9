# SPDX-License-Identifier: Apache-2.0
"""Exact top-100 of a large item table against its parts: the product alone, and partitioning what it gives.

    python benchmarks/exact_top.py [--items 500000] [--users 10000] [--size 64]

All three in one process, a block of users at a time and in turn, so that a machine with other work weighs on all alike.
CPU time of the process. Prints a table and, as its last line, one JSON document.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np

from pocketrec.cloud.candidates.exact import exact_top

K = 100
_BLOCK = 256  # users
_ITEMS = 8192


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=500_000)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=64)
    options = parser.parse_args()
    rng = np.random.default_rng(1)
    norms = np.linspace(2.4, 0.86, options.items)[:, None]  # more popular items have longer rows, as trained tables do
    rows = rng.normal(0, options.size**-0.5, (options.items, options.size)) * norms
    table = np.concatenate([np.zeros((1, options.size)), rows]).astype(np.float32)
    spent = {"exact_top": 0.0, "product": 0.0, "partition": 0.0}
    agree = True
    for begin in range(0, options.users, _BLOCK):
        users = rng.normal(size=(min(_BLOCK, options.users - begin), options.size)).astype(np.float32)
        started = time.process_time()
        _, scores = exact_top(users, table, K)
        spent["exact_top"] += time.process_time() - started
        product, partition, best = _parts(users, table)
        spent["product"] += product
        spent["partition"] += partition
        agree &= bool(np.allclose(np.sort(scores, 1), np.sort(best, 1), rtol=1e-5))
    ratio = spent["exact_top"] / (spent["product"] + spent["partition"])
    for name, seconds in spent.items():
        print(f"{name:<12} {1000 * seconds / options.users:8.3f} CPU ms a user")
    hours = spent["exact_top"] / options.users * 1e6 / 3600
    print(f"exact_top takes {ratio:.2f} of product and partition; a million users, extrapolated: {hours:.2f} CPU hours")
    print(json.dumps({"items": options.items, "users": options.users, "ratio": ratio, "same_scores": agree,
                      "million_users_cpu_hours": hours, **{f"{n}_cpu_s": s for n, s in spent.items()}}))  # fmt: skip


def _parts(users: np.ndarray, table: np.ndarray) -> tuple[float, float, np.ndarray]:
    """CPU seconds of the products and of partitioning each block of them, and the best scores, [U, K]."""
    product = partition = 0.0
    space = np.empty((len(users), _ITEMS), np.float32)
    best = np.zeros((len(users), 0), np.float32)
    for first in range(1, len(table), _ITEMS):
        block = table[first : first + _ITEMS]
        started = time.process_time()
        scores = np.matmul(users, block.T, out=space[:, : len(block)])
        product += time.process_time() - started
        started = time.process_time()
        kept = min(K, scores.shape[1])
        part = np.partition(scores, scores.shape[1] - kept, axis=1)[:, -kept:]
        partition += time.process_time() - started
        best = np.concatenate([best, part], 1)
        best = best if best.shape[1] <= K else np.partition(best, best.shape[1] - K, axis=1)[:, -K:]
    return product, partition, best


if __name__ == "__main__":
    main()
