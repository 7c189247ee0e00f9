# SPDX-License-Identifier: Apache-2.0
"""Rounds of our PFedRec beside those of the published code, brought from outside, on one thread of the same machine.

    python benchmarks/pfedrec_original.py --original PATH --python PYTHON [--set data.set=ml-1m] [--share 0.05]

PATH is a checkout of IJCAI-23-PFedRec; PYTHON an interpreter that has torch, numpy, pandas and tensorboardX
(``python -m venv V && V/bin/pip install torch numpy pandas tensorboardX``). A round is: draw negatives for everybody,
train all clients, average, evaluate validation and test, as the published code does after every round. Its negatives
and its evaluation are timed for all clients, its training for a share of them and then scaled to all, for a whole
round takes many minutes; our rounds are timed whole. One client is trained by both from the same numbers,
to see that they do the same. The last line of standard output is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np


def ours(config: Any, split: Any, test: Any, rounds: int) -> list[dict[str, float]]:
    """Seconds of each of our rounds; the first, in which memory is touched for the first time, is not among them."""
    from pocketrec.cloud.federated.pfedrec.evaluation import both_ranks
    from pocketrec.cloud.federated.pfedrec.rounds import begin, judge, one_round
    from pocketrec.cloud.federated.pfedrec.sampling import Sampler, forbidden_items

    sampler = Sampler(split, forbidden_items(split, "paper", test), config.pfedrec.negatives)
    state, found = begin(config.pfedrec, split, config.seed).state, []
    for _ in range(rounds + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        state = one_round(config.pfedrec, state, sampler, config.seed)
        judge(state, split)  # validation, with the own and with the shared table
        both_ranks(state.own, test.targets, test.negatives, None)
        found.append({"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu})
    return found[1:]


def one_client(config: Any, split: Any, test: Any, path: Path) -> None:
    """Train the client of the most events for a round, and write its numbers before and after."""
    from pocketrec.cloud.federated.pfedrec.block import Passes, train_block
    from pocketrec.cloud.federated.pfedrec.client import first_model
    from pocketrec.cloud.federated.pfedrec.config import item_rate
    from pocketrec.cloud.federated.pfedrec.sampling import Sampler, forbidden_items
    from pocketrec.cloud.federated.pfedrec.upload import own_table

    sampler, values = Sampler(split, forbidden_items(split, "paper", test), config.pfedrec.negatives), config.pfedrec
    client = np.array([int(split.lengths.argmax())])
    table, heads = first_model(np.random.default_rng(config.seed), split.items, values.latent, len(split))
    samples = sampler.draw(np.random.default_rng(2), client)
    how = Passes(values.batch, 1, values.learning_rate, item_rate(values, split.items))
    trained = train_block(np.random.default_rng(2), table, heads, client, sampler, how)
    np.savez(path, table=table, weights=heads.weights[client[0]], bias=heads.bias[client[0]], items=samples.items,
             labels=samples.labels, own=own_table(table, trained.steps), own_weights=trained.heads.weights[0],
             own_bias=trained.heads.bias[0])  # fmt: skip


def theirs(config: Any, split: Any, test: Any, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """What `pfedrec_theirs.py` found."""
    users = np.repeat(np.arange(len(split)), split.lengths)
    places = np.arange(len(users)) - split.offsets[users]
    everyone = np.arange(len(split))
    columns = [np.concatenate([users, everyone, everyone]),
               np.concatenate([split.train, split.validation, test.targets])]  # fmt: skip
    times = np.concatenate([places, split.lengths, split.lengths + 1])
    order = np.lexsort((times, columns[0]))
    table = np.column_stack([*columns, np.ones(len(times)), times])[order]
    np.savetxt(folder / "log.csv", table, "%d", ",", header="userId,itemId,rating,timestamp", comments="")
    one_client(config, split, test, folder / "one.npz")
    values = config.pfedrec
    job = {
        "original": str(options.original.resolve()), "log": str(folder / "log.csv"), "seed": config.seed,
        "result": str(folder / "result.json"), "rounds": options.rounds, "one": str(folder / "one.npz"),
        "config": {
            "clients_sample_ratio": options.share, "clients_sample_num": 0, "latent_dim": values.latent,
            "lr": values.learning_rate, "lr_eta": values.eta, "batch_size": values.batch, "local_epoch": 1,
            "num_negative": values.negatives, "l2_regularization": 0.0, "model_dir": "",
        },
    }  # fmt: skip
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    script = Path(__file__).with_name("pfedrec_theirs.py")
    done = subprocess.run([options.python, str(script), str(folder / "job.json")], capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        sys.exit(f"error: the published code did not run: {lines[-1]}")
    found: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--original", type=Path, required=True, help="folder with engine.py and data.py")
    parser.add_argument("--python", default=sys.executable, help="interpreter with PyTorch")
    parser.add_argument("--set", dest="overrides", nargs="*", default=["data.set=ml-1m"], metavar="KEY=VALUE")
    parser.add_argument("--rounds", type=int, default=1, help="of theirs; ours are five times as many")
    parser.add_argument("--share", type=float, default=0.05, help="of their clients that are trained and timed")
    return parser


def main() -> None:
    options = _parser().parse_args()
    if not (options.original / "engine.py").is_file():
        sys.exit("error: name a checkout of IJCAI-23-PFedRec with --original")
    for name in ("OMP", "OPENBLAS", "MKL"):
        os.environ[f"{name}_NUM_THREADS"] = "1"
    from pocketrec.cloud.config.load import build_config, read_tables
    from pocketrec.cloud.data.readers import read_log
    from pocketrec.cloud.federated.pfedrec.config import PFedRecRun
    from pocketrec.cloud.federated.pfedrec.data import split_log
    from pocketrec.device.base.errors import PocketRecError

    try:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            (folder / "c.toml").write_text("", encoding="utf-8")
            config = build_config(PFedRecRun, read_tables(folder / "c.toml", options.overrides))
            split, test = split_log(read_log(config.data), config.seed)
            print(f"{len(split)} clients, {split.items} items, {len(split.train)} training events", flush=True)
            mine = ours(config, split, test, 5 * options.rounds)
            other = theirs(config, split, test, options, folder)
    except PocketRecError as error:
        sys.exit(f"error: {error}")
    scale = other["users"] / other["clients"]
    rows: dict[str, Any] = {}
    for unit in ("wall_s", "cpu_s"):
        their = [one["negatives"][unit] + scale * one["training"][unit] + one["evaluation"][unit]
                 for one in other["rounds"]]  # fmt: skip
        rows[unit] = {"ours": float(np.median([one[unit] for one in mine])), "theirs": float(np.median(their))}
    parts = {part: float(np.median([one[part]["cpu_s"] for one in other["rounds"]])) for part in other["rounds"][0]}
    print(f"\n{'a round':<22}{'ours':>12}{'published':>12}{'ratio':>9}")
    for unit, name in (("wall_s", "seconds"), ("cpu_s", "processor seconds")):
        both = rows[unit]
        print(f"{name:<22}{both['ours']:>12.2f}{both['theirs']:>12.2f}{both['theirs'] / both['ours']:>9.0f}")
    print(f"rounds a second: ours {1 / rows['cpu_s']['ours']:.3f}, published {1 / rows['cpu_s']['theirs']:.5f}; "
          f"its training was timed for {other['clients']} of {other['users']} clients, {parts['training']:.1f} s; "
          f"negatives {parts['negatives']:.1f} s, evaluation {parts['evaluation']:.1f} s (processor)")  # fmt: skip
    off = other["difference"]
    print(f"one client, {off['samples']} samples: rows moved by up to {off['table_moved']:.3g}; the two codes differ "
          f"by {off['table']:.1e} there, by {off['weights']:.1e} in the weights, {off['bias']:.1e} in the bias")
    print(json.dumps({"benchmark": "pfedrec_original", "set": options.overrides, "rows": rows, "theirs": other,
                      "ours": mine}))  # fmt: skip


if __name__ == "__main__":
    main()
