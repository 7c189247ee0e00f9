# SPDX-License-Identifier: Apache-2.0
"""The cloud side on one machine at 1, 10 and 100 million events: time, events a second, and peak memory of each stage.

    python benchmarks/scale.py --events 100150807 [--keep DIR] [--stages prepare als ...] [--share 0.02]

A log of UserBehavior's shape is made (`scale_log.py`), then each stage works on it in a process of its own: prepare
(read, split, write), ALS, candidates for all users, one training epoch with sampled softmax on a stated share of the
users, and the lean bundle of that model with the candidates of all users, of which one device's part is counted. With
--keep the log and what stages made stay in DIR, and the next call does again only the stages that it names; without,
all is removed. At 100,150,807 events DIR takes 12 GB. Prints a table, and one JSON document as the last line.

    python benchmarks/scale.py --events 10000000 --against CHECKOUT [--rounds 3] --stages prepare

compares two revisions: CHECKOUT is another checkout, whose ``build/tree`` imports as `pocketrec` (as `make lint` lays
it). Each does every stage on the same log by its own benchmarks/scale.py, one after the other, and the one that begins
changes from round to round. The processor's time is that of the whole process. The table has the least time and the
greatest memory of each, and the ratio of this revision to the other.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
LOG, SHAPE, TREE = "UserBehavior.csv", "shape.json", "build/tree"
Figures = dict[str, Any]


def generate(folder: Path, options: argparse.Namespace) -> Figures:
    """The log, unless it is there."""
    from scale_log import write_log

    wanted = {"events": options.events, "seed": options.seed}
    if (folder / SHAPE).exists():
        made: Figures = json.loads((folder / SHAPE).read_text())
        if {name: made["shape"][name] for name in wanted} != wanted:
            sys.exit(f"error: {folder} holds another log ({made['shape']}): name another folder with --keep")
        return made
    started = time.perf_counter()
    shape = write_log(folder / LOG, options.events, options.seed)
    seconds = time.perf_counter() - started
    size = (folder / LOG).stat().st_size
    made = {"seconds": seconds, "events": shape.events, "bytes": size, "shape": {**asdict(shape), **wanted}}
    (folder / SHAPE).write_text(json.dumps(made))
    return made


def prepare(folder: Path, options: argparse.Namespace) -> Figures:
    """``pocketrec prepare``."""
    from pocketrec.cloud.config.data import DataConfig
    from pocketrec.cloud.config.run import RunConfig
    from pocketrec.cloud.data.prepared import prepare

    config = RunConfig(data=DataConfig(path=str(folder / LOG), format="taobao", category="category"))
    with _progress("prepare") as progress:
        counts = prepare(config, folder, progress).summary
    return {"events": counts["events_before"] + counts["events_after"] + counts["unknown_after"], "summary": counts}


def als(folder: Path, options: argparse.Namespace) -> Figures:
    """ALS on all events before the cut-off."""
    from pocketrec.cloud.candidates import fit_als
    from pocketrec.cloud.data.prepared import load_cloud

    data, config = load_cloud(folder), _candidates(options)
    with _progress("als") as progress:
        model = fit_als(config.als, data.before, len(data.vocabulary), options.seed, options.threads, progress)
    model.save(folder / "als.npz")
    return {"events": data.before.events, "factors": options.factors, "iterations": options.iterations}


def candidates(folder: Path, options: argparse.Namespace) -> Figures:
    """Candidate sets of all users, and what share of their later events they hold (that is not timed)."""
    from pocketrec.cloud.candidates import AlsModel, Candidates, Past, build, popular_rows, recall_ceiling
    from pocketrec.cloud.data.prepared import load_cloud, load_devices

    started = time.perf_counter()
    data, model = load_cloud(folder), AlsModel.load(folder / "als.npz")
    config, items = _candidates(options), len(data.vocabulary)
    unfinished = folder / "unfinished.rows"
    with _progress("candidates") as progress:
        sets = build(config, Past(data.before, items, seed=options.seed, threads=options.threads, als=model,
                                  scratch=unfinished, progress=progress))  # fmt: skip
    sets.save(folder / "candidates.npz")
    unfinished.unlink()
    seconds = time.perf_counter() - started
    after = load_devices(folder).after
    popular = Candidates(sets.users[:0], sets.rows[:0], popular_rows(items, config.k))
    return {
        "seconds": seconds, "events": data.before.events, "users": len(sets.users), "k": config.k,
        "head": min(config.als.head or items, items),
        "head_events": round(float(data.counts[1 : (config.als.head or items) + 1].sum() / data.counts.sum()), 4),
        "ceiling": recall_ceiling(sets, after)["old"], "ceiling_popular": recall_ceiling(popular, after)["all"],
    }  # fmt: skip


def train(folder: Path, options: argparse.Namespace) -> Figures:
    """One epoch over a share of the users, the item table whole."""
    import numpy as np

    from pocketrec.cloud.config.model import ModelConfig
    from pocketrec.cloud.config.training import TrainConfig
    from pocketrec.cloud.data.prepared import load_cloud
    from pocketrec.cloud.training.trainer import TrainJob, train

    if options.threads:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(options.threads)
        tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    data = load_cloud(folder)
    chosen = np.random.default_rng(options.seed).random(len(data.before)) < options.share
    part = data.before.select(chosen)
    config = TrainConfig(epochs=1, batch=128, loss="sampled_softmax", validation=0.0, refit=False, optimizer="adagrad",
                         learning_rate=0.05)  # fmt: skip
    for left in folder.glob("model.*"):
        left.unlink()
    job = TrainJob(ModelConfig(), config, part, len(data.vocabulary), seed=options.seed)
    with _progress("train") as progress:
        trained = train(job, folder, progress=progress)
    (entry,) = trained.history
    return {
        "events": part.events, "seconds": trained.seconds, "share": options.share, "loss": entry["loss"],
        "items": len(data.vocabulary), "negatives": config.negatives,
    }  # fmt: skip


def lean(folder: Path, options: argparse.Namespace) -> Figures:
    """The lean bundle, every shard of it; one device opens it and makes its model file."""
    import shutil

    from pocketrec.cloud.backbones import item_embeddings, load_model
    from pocketrec.cloud.candidates import Candidates
    from pocketrec.cloud.config.export import ExportConfig
    from pocketrec.cloud.config.model import ModelConfig
    from pocketrec.cloud.data.prepared import load_cloud
    from pocketrec.device.contract.names import CANDIDATES_FOLDER, MANIFEST_FILE
    from pocketrec.device.contract.shards import shards_for
    from pocketrec.device.delivery.bundle import open_bundle
    from pocketrec.export.build import build_tflite
    from pocketrec.export.bundle.content import BundleContent
    from pocketrec.export.bundle.write import write_bundle_files
    from pocketrec.export.tables.lean import ShardSizes, lean_model, lean_shards, lean_table

    started, shape = time.perf_counter(), ModelConfig()
    data, sets = load_cloud(folder), Candidates.load(folder / "candidates.npz")
    model = load_model(folder / "model.keras")
    embeddings = item_embeddings(model)
    assert data.categories is not None
    table = lean_table(embeddings, data.counts, options.lean_head, (list(data.categories.ids), data.categories.of_row))
    users, shards = list(sets.users), shards_for(len(sets.users))
    latest = [data.before.of(place)[0][-shape.window :] for place in data.before.find_all(sets.users)]
    ids, sizes = data.vocabulary.ids, ShardSizes(shards, 40_000)
    own, rows = lean_shards(users, sets.rows, latest, table, embeddings, ids, sizes)
    reserved = max(len(items.ids) for items in own)
    made = build_tflite(lean_model(model, shape, table, reserved), shape, ExportConfig(), way="partial",
                        optimizer="adagrad", candidates=sets.k)  # fmt: skip
    counts = {"head": table.head, "buckets": len(table.labels), "reserved": reserved, "category": "category"}
    bundle = folder / "lean"
    manifest = write_bundle_files(
        bundle, BundleContent(
            model_file=made.content, items=[*data.vocabulary.ids[: table.head], *table.labels], recipe={}, card="",
        model=made.model, tensors=made.tensors, candidates=(users, rows), cut_off=data.cut_off, shards=shards,
        packed=(made.skeleton, made.coded), lean=counts, shard_items=own,
    ))  # fmt: skip
    seconds = time.perf_counter() - started
    in_shards = [entry.bytes for name, entry in manifest.files.items() if name.startswith(CANDIDATES_FOLDER)]
    common = sum(entry.bytes for entry in manifest.files.values()) + (bundle / MANIFEST_FILE).stat().st_size
    device = common - sum(in_shards)
    opened = open_bundle(bundle).for_user(users[0])
    window = opened.vocabulary.rows(data.vocabulary.ids[: shape.window])[None]
    finite = bool(abs(opened.load_model().embed(window)).max() < float("inf"))
    shutil.rmtree(bundle)
    return {
        "seconds": seconds, "events": data.before.events, "users": len(users), "shards": shards, **counts,
        "device_bytes_median": device + sorted(in_shards)[shards // 2], "device_bytes": device + max(in_shards),
        "dense_fp32": 4 * embeddings.size, "embeds": finite,
    }  # fmt: skip


STAGES: dict[str, Callable[[Path, argparse.Namespace], Figures]] = {
    "generate": generate, "prepare": prepare, "als": als, "candidates": candidates, "train": train, "lean": lean,
}  # fmt: skip


def _candidates(options: argparse.Namespace) -> Any:
    from pocketrec.cloud.config.candidates import AlsOptions, CandidatesConfig

    als = AlsOptions(factors=options.factors, iterations=options.iterations, head=options.head)
    return CandidatesConfig(tables={"als": als})


def _progress(label: str) -> Any:
    from pocketrec.cloud.base.progress import TerminalProgress

    return TerminalProgress(label)


def measure(name: str, folder: Path, options: argparse.Namespace) -> Figures:
    """Work of one stage in this process."""
    from pocketrec.device.base.memory import peak_resident_mb

    started = time.perf_counter()
    figures = STAGES[name](folder, options)
    figures.setdefault("seconds", time.perf_counter() - started)
    figures["seconds"] = round(figures["seconds"], 2)
    figures["events_per_s"] = round(figures["events"] / max(figures["seconds"], 1e-3))
    return {"stage": name, **figures, "peak_gib": round(peak_resident_mb() * 1e6 / 2**30, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--keep", type=Path, help="folder that stays, and is gone on with")
    parser.add_argument("--stages", nargs="+", choices=list(STAGES)[1:], default=list(STAGES)[1:])
    parser.add_argument("--share", type=float, default=0.02, help="of the users, for training")
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--iterations", type=int, default=15)
    parser.add_argument("--head", type=int, default=100_000, help="popular items that candidates come from; 0 = all")
    parser.add_argument("--lean-head", type=int, default=50_000, help="items of the lean bundle for all devices")
    parser.add_argument("--threads", type=int, default=0, help="0 = one for each core")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--against", metavar="CHECKOUT", type=Path, help="another checkout, to compare with")
    parser.add_argument("--rounds", type=int, default=2, help="with --against: times that each does each stage")
    parser.add_argument("--work", nargs=2, metavar=("STAGE", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.against and not (options.against / TREE / "pocketrec" / "cloud").is_dir():
        parser.error(f"no {TREE}/pocketrec/cloud in {options.against}: name a checkout in which `make lint` was run")
    if options.work:
        print(json.dumps(measure(options.work[0], Path(options.work[1]), options)))
        return
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
        run(options.keep, options)
    else:
        with tempfile.TemporaryDirectory() as folder:
            run(Path(folder), options)


def run(folder: Path, options: argparse.Namespace) -> None:
    """The stages one after the other, a process each."""
    rows = []
    if options.against:
        compare(folder, options)
        return
    print(f"{'stage':<11}{'events':>12}{'seconds':>10}{'events/s':>12}{'peak':>11}", flush=True)
    for name in ("generate", *options.stages):
        row = in_a_process(name, folder, options)
        rows.append(row)
        figures = f"{row['events']:>12,}{row['seconds']:>10.1f}{row['events_per_s']:>12,}{row['peak_gib']:>7.2f} GiB"
        print(f"{name:<11}{figures}  {_remark(row)}".rstrip(), flush=True)
    machine = {"cores": len(os.sched_getaffinity(0)), "threads": options.threads}
    print(json.dumps({"benchmark": "scale", **machine, "rows": rows}))


def in_a_process(name: str, folder: Path, options: argparse.Namespace, checkout: Path | None = None) -> Figures:
    """One stage in a process of its own, by the code of `checkout`; None = what this process imports."""
    script, environment = Path(__file__), None
    if checkout:
        script = checkout / "benchmarks" / "scale.py"
        environment = {**os.environ, "PYTHONPATH": str((checkout / TREE).resolve())}
    keys = ("events", "factors", "head", "iterations", "lean_head", "seed", "share", "threads")
    words = [word for key in keys for word in (f"--{key.replace('_', '-')}", str(getattr(options, key)))]
    command = [sys.executable, str(script), *words, "--work", name, str(folder)]
    before = _children()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment)
    if done.returncode:
        sys.exit(f"error: stage {name} ended with status {done.returncode}: see above")
    row: Figures = json.loads(done.stdout.splitlines()[-1])
    return {**row, "cpu_seconds": round(_children() - before, 2)}


def _children() -> float:
    """Seconds of processor that the processes started from here have taken."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def compare(folder: Path, options: argparse.Namespace) -> None:
    """Every stage by this revision and the other in turns."""
    revisions = {"this": None, "other": options.against}
    made = in_a_process("generate", folder, options)
    print(f"{made['events']:,} events", flush=True)
    print(f"{'stage':<11}{'round':>6}{'revision':>10}{'seconds':>10}{'CPU':>9}{'peak':>11}", flush=True)
    rows: list[Figures] = []
    for name in options.stages:
        for number in range(options.rounds):
            for which in list(revisions)[:: 1 if number % 2 else -1]:
                row = {**in_a_process(name, folder, options, revisions[which]), "revision": which, "round": number + 1}
                rows.append(row)
                figures = f"{row['seconds']:>10.2f}{row['cpu_seconds']:>9.2f}{row['peak_gib']:>7.2f} GiB"
                print(f"{name:<11}{number + 1:>6}{which:>10}{figures}", flush=True)
    ratios = {name: _ratios([row for row in rows if row["stage"] == name]) for name in options.stages}
    for name, ratio in ratios.items():
        words = f"least time {ratio['seconds']:.3f}, of the processor {ratio['cpu_seconds']:.3f}"
        print(f"{name:<11}this : other, {words}, greatest memory {ratio['peak_gib']:.3f}")
    machine = {"cores": len(os.sched_getaffinity(0)), "threads": options.threads}
    print(json.dumps({"benchmark": "scale", **machine, "rows": [made, *rows], "ratios": ratios}))


def _ratios(rows: list[Figures]) -> dict[str, float]:
    found = {}
    for name, worth in (("seconds", min), ("cpu_seconds", min), ("peak_gib", max)):
        this, other = (worth(row[name] for row in rows if row["revision"] == which) for which in ("this", "other"))
        found[name] = round(this / other, 4)
    return found


def _remark(row: Figures) -> str:
    if row["stage"] == "candidates":
        return (f"{row['users']:,} users, ceiling {row['ceiling']:.4f} (popular items: {row['ceiling_popular']:.4f}), "
                f"from {row['head']:,} items with {row['head_events']:.1%} of the events")  # fmt: skip
    if row["stage"] == "train":
        return f"{row['share']:.2%} of the users, {row['items']:,} items, loss {row['loss']:.3f}"
    if row["stage"] == "als":
        return f"{row['factors']} factors, {row['iterations']} alternations"
    if row["stage"] == "lean":
        return (f"a device fetches {row['device_bytes'] / 1e6:.2f} MB at most, of an item table of "
                f"{row['dense_fp32'] / 1e6:,.0f} MB in float32; {row['shards']:,} shards")  # fmt: skip
    return f"{row['bytes'] / 1e6:,.0f} MB" if row["stage"] == "generate" else ""


if __name__ == "__main__":
    main()
