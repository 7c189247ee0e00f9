# SPDX-License-Identifier: Apache-2.0
"""What a device fetches of a lean bundle at the size of Taobao's UserBehavior.

    python benchmarks/lean_bytes.py [--items 4162024] [--users 987994] [--categories 9439] [--head 50000]

A bundle is written as a run writes it (`export.lean`, packed, one candidate shard of 256 users) and opened, and its
files are counted. Item rows are random numbers, which compress worse than trained ones; item ids are seven digits; a
user has 100 candidates and 20 latest items, drawn by popularity (Zipf, exponent 1, as is usual for such logs). The rows
outside head and shard are never made: their number does not matter. The manifest is that of all shards. Prints a
table, and one JSON document as the last line.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from pocketrec.cloud.config.export import ExportConfig
from pocketrec.cloud.config.model import GruOptions, ModelConfig

CONFIG = ModelConfig(embedding=64, window=20, tables={"gru": GruOptions(hidden=96, layers=2)})
K, LATEST, A_SHARD = 100, 20, 256


def measure(items: int, users: int, categories: int, head: int, most: int) -> dict[str, Any]:
    """Bytes of every file that one device fetches, as they are and zipped, and the time to install."""
    from pocketrec.cloud.backbones import build_model
    from pocketrec.device.contract.lean import BUCKET, ShardItems
    from pocketrec.device.contract.shards import shard_name, shards_for
    from pocketrec.device.delivery.bundle import open_bundle
    from pocketrec.export.build import build_tflite
    from pocketrec.export.bundle.content import BundleContent
    from pocketrec.export.bundle.write import write_bundle_files
    from pocketrec.export.tables.quantise import quantise

    rng = np.random.default_rng(1)
    drawn = np.exp(rng.random((A_SHARD, 2 * K)) * np.log(items)).astype(np.int64).clip(1, items)  # Zipf, exponent 1
    chosen = np.stack([_first(row, K) for row in drawn])
    latest = np.exp(rng.random(A_SHARD * LATEST) * np.log(items)).astype(np.int64).clip(1, items)
    wanted = np.unique(np.concatenate([chosen.reshape(-1), latest]))
    own = wanted[wanted > head][:most]
    model = build_model(CONFIG, head + categories + 1 + len(own), 1)
    made = build_tflite(model, CONFIG, ExportConfig(), way="partial", optimizer="adagrad", candidates=K)
    rows = quantise(rng.normal(0, 0.2, (len(own), CONFIG.embedding)).astype(np.float32), 8, axis=1)
    assert rows.scales is not None
    shard = ShardItems([f"{5_000_000 + row}" for row in own.tolist()], rows.numbers, rows.scales[:, 0])
    place = {int(row): head + categories + 2 + number for number, row in enumerate(own)}
    candidates = np.array([[row if row <= head else place.get(row, 0) for row in line] for line in chosen.tolist()])
    ids = [f"{5_000_000 + row}" for row in rng.choice(items, head, replace=False).tolist()]
    labels = [*(f"{BUCKET}{1_000_000 + number}" for number in range(categories)), BUCKET]
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "lean"
        manifest = write_bundle_files(
            bundle, BundleContent(
                model_file=made.content, items=[*ids, *labels], recipe={}, card="", model=made.model,
            tensors=made.tensors, candidates=([f"{number}" for number in range(A_SHARD)], candidates), shards=1,
            packed=(made.skeleton, made.coded), shard_items=[shard],
            lean={"head": head, "buckets": categories + 1, "reserved": len(own), "category": "category"},
        ))  # fmt: skip
        files = {path.relative_to(bundle).as_posix(): path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
        table = json.loads(files["manifest.json"])
        entry = table["files"][shard_name(0)]
        table["files"] |= {shard_name(number): entry | {"sha256": f"{rng.integers(2**63):064x}"}
                           for number in range(shards_for(users))}  # fmt: skip
        files["manifest.json"] = json.dumps(table, indent=1).encode()
        started = time.perf_counter()
        path = open_bundle(bundle).for_user("1").model_path
        seconds, installed = time.perf_counter() - started, path.stat().st_size
    del manifest
    sizes = {name: {"bytes": len(data), "zipped": len(zlib.compress(data, 6))} for name, data in sorted(files.items())}
    return {
        "files": sizes, **{kind: sum(size[kind] for size in sizes.values()) for kind in ("bytes", "zipped")},
        "dense_fp32": 4 * items * CONFIG.embedding, "shard_items": len(own), "installed": installed,
        "install_s": seconds,
    }  # fmt: skip


def _first(row: np.ndarray[Any, Any], count: int) -> np.ndarray[Any, Any]:
    """The first different entries, in order, padded with 0."""
    _, places = np.unique(row, return_index=True)
    return np.pad(row[np.sort(places)][:count], (0, max(0, count - len(places))))


def main() -> None:
    """Print the files of one device."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=4_162_024)
    parser.add_argument("--users", type=int, default=987_994)
    parser.add_argument("--categories", type=int, default=9_439)
    parser.add_argument("--head", type=int, default=50_000)
    parser.add_argument("--shard-items", type=int, default=40_000)
    args = parser.parse_args()
    found = measure(args.items, args.users, args.categories, args.head, args.shard_items)
    print(f"{'file':<24}{'bytes':>12}{'zipped':>12}")
    for name, size in found["files"].items():
        print(f"{name:<24}{size['bytes']:>12,}{size['zipped']:>12,}")
    print(f"{'a device fetches':<24}{found['bytes']:>12,}{found['zipped']:>12,}")
    ratio = found["dense_fp32"] / found["bytes"]
    print(f"the item table alone in float32: {found['dense_fp32']:,} bytes, {ratio:.0f} x")
    print(f"installed model file: {found['installed']:,} bytes, {found['shard_items']:,} items of the shard in it")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
