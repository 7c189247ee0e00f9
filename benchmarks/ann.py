# SPDX-License-Identifier: Apache-2.0
"""Candidates of a large catalogue: faiss beside the exact search, with the recall of its best 100.

    python benchmarks/ann.py [--items 500000] [--users 10000] [--kind clustered|isotropic] [--threads 1]

The table is that of benchmarks/retrieve.py: items in clusters of two levels, users that are mixtures of four items; or
`isotropic`: items and users in all directions alike, norms that fall with popularity. In one process: the index is
built, the lists that it looks into are found as `pocketrec.cloud.candidates.ann` finds them, and then blocks of users
are looked up exactly and in the index, in turn, the first block in faiss's own exact index too. CPU time of the
process; it `breaks even` at so many users whose exact search takes what building and trying take besides. Wants faiss
(pip install 'pocketrec[ann]').
Prints a table and, as its last line, one JSON document.
"""

from __future__ import annotations

import argparse
import importlib
import json
import time
from typing import Any

import numpy as np
from retrieve import item_table

from pocketrec.cloud.candidates.ann import RECALL, build_index, fewest_lists, looked_up
from pocketrec.cloud.candidates.exact import exact_top

K = 100
_BLOCK = 512  # users
_TRIED = 256


def made(kind: str, items: int, users: int) -> tuple[np.ndarray, np.ndarray]:
    """Users float32 [U, 64] and a table [N + 1, 64]."""
    rng = np.random.default_rng(2)
    if kind == "clustered":
        table = item_table(items)
        return table[rng.integers(1, items + 1, (users, 4))].mean(axis=1), table
    norms = np.linspace(2.4, 0.86, items + 1, dtype=np.float32)[:, None] / 8
    table = rng.standard_normal((items + 1, 64), np.float32) * norms
    table[0] = 0.0
    return rng.standard_normal((users, 64), np.float32), table


def measure(options: argparse.Namespace) -> dict[str, Any]:
    faiss: Any = importlib.import_module("faiss")
    faiss.omp_set_num_threads(options.threads)
    users, table = made(options.kind, options.items, options.users)
    spent = dict.fromkeys(("build", "try", "exact", "faiss", "faiss_flat"), 0.0)
    started = time.process_time()
    index = build_index(faiss, table, 1)
    spent["build"] = time.process_time() - started
    started = time.process_time()
    probes, tried = fewest_lists(index, users[:_TRIED], table, K)
    spent["try"] = time.process_time() - started
    index.nprobe = probes
    flat = faiss.IndexFlatIP(table.shape[1])
    flat.add(table[1:])
    calls = {"exact": lambda part: exact_top(part, table, K)[0],
             "faiss": lambda part: looked_up(index, part, table, K)[0],
             "faiss_flat": lambda part: flat.search(part, K)[1] + 1}  # fmt: skip
    recalls: dict[str, list[float]] = {"faiss": [], "faiss_flat": []}
    for begin in range(0, options.users, _BLOCK):
        part, rows = np.ascontiguousarray(users[begin : begin + _BLOCK]), {}
        for name, call in calls.items():
            started = time.process_time()
            if name == "faiss_flat" and begin:
                continue
            rows[name] = call(part)
            spent[name] += time.process_time() - started
        for name in recalls.keys() & rows.keys():
            pairs = zip(rows["exact"], rows[name], strict=True)
            recalls[name] += [float(np.isin(best, own).mean()) for best, own in pairs]
    counts = {**dict.fromkeys(calls, options.users), "faiss_flat": min(_BLOCK, options.users)}
    a_user = {name: 1000 * spent[name] / counts[name] for name in calls}
    saved = max(a_user["exact"] - a_user["faiss"], 1e-9)
    return {
        "kind": options.kind, "items": options.items, "users": options.users, "threads": options.threads,
        "faiss": faiss.__version__, "lists": int(index.nlist), "probes": probes, "recall_tried": round(tried, 4),
        "taken": tried >= RECALL, "recall@100": round(float(np.mean(recalls["faiss"])), 4),
        "recall@100_flat": round(float(np.mean(recalls["faiss_flat"])), 4),
        "build_cpu_s": round(spent["build"], 2), "try_cpu_s": round(spent["try"], 2),
        **{f"{name}_cpu_ms": round(value, 4) for name, value in a_user.items()},
        "ratio": round(a_user["faiss"] / a_user["exact"], 4),
        "ratio_flat": round(a_user["faiss_flat"] / a_user["exact"], 4),
        "break_even_users": round(1000 * (spent["build"] + spent["try"]) / saved),
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=500_000)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--kind", choices=("clustered", "isotropic"), default="clustered")
    parser.add_argument("--threads", type=int, default=1, help="of faiss; numpy has those of OPENBLAS_NUM_THREADS")
    found = measure(parser.parse_args())
    for name in ("exact", "faiss", "faiss_flat"):
        recall = {"exact": 1.0, "faiss": found["recall@100"], "faiss_flat": found["recall@100_flat"]}[name]
        print(f"{name:<12} {found[f'{name}_cpu_ms']:9.3f} CPU ms a user, recall@100 {recall:.4f}")
    pays = f"breaks even at {found['break_even_users']:,} users" if found["taken"] else "not taken"
    print(f"{found['probes']} of {found['lists']} lists; built in {found['build_cpu_s']} s, tried in "
          f"{found['try_cpu_s']} s: {pays}")  # fmt: skip
    print(json.dumps({"benchmark": "ann", **found}))


if __name__ == "__main__":
    main()
