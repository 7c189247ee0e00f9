# SPDX-License-Identifier: Apache-2.0
"""How much faster do lists over the item table find the best items, and how many of them?

    python benchmarks/lists.py [--items 500000] [--kind clustered] [--recall 0.96]

The item table is that of `benchmarks/retrieve.py` (E = 64, clusters of two levels, norms that fall with popularity), or
with ``--kind isotropic`` one without clusters; ``--table FILE.npy`` takes a trained one, float32 [N + 1, E]. Users are
mixtures of four items, or of ``--users FILE.npy``. Lists are built and tried as the export does; then numpy's search of
all rows and of the lists run in turns, in CPU time, over files that are mapped. Prints a table, and one JSON document
as the last line.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from retrieve import EMBEDDING, TOP, K, item_table

from pocketrec.device.contract.lists import parse_lists
from pocketrec.device.contract.retrieval import TablePlace
from pocketrec.device.engine.list_scan import best_of_lists
from pocketrec.device.engine.retrieve import ItemScan
from pocketrec.export.lists import list_count, try_lists
from pocketrec.export.tables.quantise import quantise_rows

CALLS, WARM_UP, USERS = 60, 6, 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=500_000, help="size of the made table")
    parser.add_argument("--kind", choices=["clustered", "isotropic"], default="clustered", help="of the made table")
    parser.add_argument("--table", metavar="FILE", help="a trained item table in its place")
    parser.add_argument("--users", metavar="FILE", help="user embeddings, float32 [U, E]")
    parser.add_argument("--recall", type=float, default=0.96, help="share of the best 100 that is asked for")
    parser.add_argument("--lists", type=int, default=0, help="number of lists; 0 = as the export chooses")
    options = parser.parse_args()
    rng = np.random.default_rng(2)
    if options.table:
        table = np.load(options.table).astype(np.float32)
    elif options.kind == "clustered":
        table = item_table(options.items)
    else:
        table = rng.standard_normal((options.items + 1, EMBEDDING), np.float32)
        table[0] = 0
    items = len(table) - 1
    users = (
        np.load(options.users).astype(np.float32)
        if options.users
        else np.stack([table[rng.integers(1, items + 1, 4)].mean(axis=0) for _ in range(USERS)])
    )
    made = quantise_rows(table, 8)  # as where a catalogue is searched
    assert made.scales is not None
    started = time.process_time()
    tried = try_lists(made.numbers, made.scales, users, options.recall, list_count(items, options.lists), seed=1)
    built = time.process_time() - started
    result = {"benchmark": "lists", "items": items, "build_s": round(built, 1), "probes": tried.probes,
              "recall": round(tried.recall, 4), "reason": tried.reason, "shipped": tried.lists is not None}  # fmt: skip
    print(f"{items:,} items, built and tried in {built:.1f} s of CPU: {tried.reason}")
    if tried.lists is not None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "table"
            pad = -made.numbers.nbytes % 4
            path.write_bytes(made.numbers.tobytes() + bytes(pad) + made.scales.astype("<f4").tobytes())
            scan = ItemScan(path, TablePlace(0, items + 1, table.shape[1], made.numbers.nbytes + pad))
            index = Path(folder) / "lists.bin"
            index.write_bytes(tried.lists.dump())
            import mmap

            with open(index, "rb") as file:
                lists = parse_lists(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), items, table.shape[1])
            calls: dict[str, Callable[[int], object]] = {
                "exhaustive": lambda user: scan.best(users[user], K),
                "lists": lambda user: best_of_lists(lists, scan, users[user], K, tried.probes),
            }
            series: dict[str, list[float]] = {name: [] for name in calls}
            for call in range(WARM_UP + CALLS):
                for name, run in calls.items():
                    begin = time.process_time()
                    run(call % len(users))
                    series[name].append((time.process_time() - begin) * 1e3)
            p50 = {name: float(np.median(values[WARM_UP:])) for name, values in series.items()}
            recall = []
            for user in users[:40]:
                exact = np.argpartition(-(table[1:] @ user), TOP - 1)[:TOP] + 1
                recall.append(len(np.intersect1d(best_of_lists(lists, scan, user, K, tried.probes)[0][:TOP], exact)))
            result |= {f"{name}_ms_p50": round(value, 4) for name, value in p50.items()}
            result |= {"times_faster": round(p50["exhaustive"] / p50["lists"], 2),
                       "file_mb": round(index.stat().st_size / 1e6, 1),
                       "recall_of_float": round(float(np.mean(recall)) / TOP, 4)}  # fmt: skip
        print(f"exhaustive {p50['exhaustive']:.2f} ms, lists {p50['lists']:.2f} ms, {result['times_faster']} times; "
              f"file {result['file_mb']:.1f} MB; recall of the float32 order {result['recall_of_float']}")  # fmt: skip
    print(json.dumps(result))


if __name__ == "__main__":
    main()
