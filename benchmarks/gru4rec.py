# SPDX-License-Identifier: Apache-2.0
"""Our global model against GRU4Rec's official PyTorch code: the same events, protocol and metrics, in one run.

    python benchmarks/gru4rec.py configs/yoochoose-100k.toml --gru4rec PATH --python PYTHON [--seeds 1 2 3]
        [--parameters layers=128 dropout_p_hidden=0.2 ...] [--set train.epochs=5 ...] [--slice] [--only theirs]

PATH is a checkout of github.com/hidasib/GRU4Rec_PyTorch_Official, PYTHON an interpreter with PyTorch and pandas:
neither is a part of PocketRec. The log is prepared as `pocketrec run` does. GRU4Rec trains on the events before the
cut-off (a user is a session; by default with its published parameters for rsc15); ours as the configuration says; each
with as many threads as `--threads`. Every test event is foretold from the whole known history that its user had
(GRU4Rec carries its state through all of it, ours looks back on its window); ranks, masks, ties and means are
computed by the same code. `--slice` judges on the later events before the cut-off, as `pocketrec search` does, for
choosing parameters; the test is then not opened. Our time to reach GRU4Rec's Recall@20 is read after each epoch, and
reading takes no part in it. Prints a table, and one JSON document as the last line.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pocketrec.cloud.config.run import RunConfig
    from pocketrec.cloud.data.sequences import Sequences
    from pocketrec.cloud.evaluation.ranking import Places, ScoresOf

PARAMETERS = {  # paramfiles/rsc15_xe_shared_100_best.py of their repository
    "loss": "cross-entropy", "constrained_embedding": "True", "embedding": "0", "layers": "100", "n_epochs": "10",
    "batch_size": "32", "dropout_p_embed": "0.0", "dropout_p_hidden": "0.4", "learning_rate": "0.2",
    "momentum": "0.2", "n_sample": "2048", "sample_alpha": "0.5", "bpreg": "0.0", "logq": "1.0",
}  # fmt: skip
MEASURES = ("recall@5", "recall@20", "mrr@5", "mrr@20")


@dataclass(frozen=True)
class Exam:
    """What is learned from, and what is foretold."""

    train: Sequences
    whole: Sequences
    """Histories, with the events to be foretold at their ends."""
    first: np.ndarray
    """int64 [U], place of each history's first event to be foretold."""
    items: int
    by_user: bool

    def places(self, window: int, causal: bool = True) -> Places:
        from pocketrec.cloud.evaluation.ranking import Places

        return Places.of(self.whole, self.items, window, self.first, causal=causal)

    def figures(self, places: Places, scores: ScoresOf, config: RunConfig) -> dict[str, float]:
        from pocketrec.cloud.metrics import metrics

        ranks = places.ranks(scores, config.evaluate)
        return metrics.user_means(ranks) if self.by_user else metrics.event_means(np.concatenate(ranks))


def test_of(config: RunConfig, folder: Path) -> Exam:
    """The test events, as the evaluation of a run has them."""
    from pocketrec.cloud.data.prepared import load_cloud, load_devices
    from pocketrec.cloud.fleet.fleet import device_users

    data, devices = load_cloud(folder), load_devices(folder)
    items = len(data.vocabulary)
    if not data.personal:
        return Exam(data.before, devices.after, np.ones(len(devices.after), np.int64), items, False)
    users, _ = device_users(data.before, devices.after, devices.learn, limit=config.evaluate.users, seed=config.seed)
    names = np.array([user.user for user in users], dtype=object)
    context = data.before.select(np.isin(data.before.users, names))
    whole = context.followed_by(devices.after.select(np.isin(devices.after.users, names)))
    first = np.array([len(user.before) + len(user.learn) for user in users], np.int64)
    return Exam(data.before, whole, first, items, True)


def slice_of(config: RunConfig, folder: Path) -> Exam:
    """The later part of the events before the cut-off."""
    from pocketrec.cloud.data.prepared import load_cloud
    from pocketrec.cloud.search.search import Slice

    judge = Slice(config, load_cloud(folder))
    return Exam(judge.earlier, judge.whole, judge.first, judge.items, judge.by_user)


def ours(config: RunConfig, exam: Exam, folder: Path) -> tuple[dict[str, float], float, list[tuple[float, float]]]:
    """Figures, seconds of training, and (seconds, Recall@20) after each epoch."""
    from pocketrec.cloud.backbones import item_embeddings
    from pocketrec.cloud.evaluation.scoring import embed_positions
    from pocketrec.cloud.rankers import make_ranker
    from pocketrec.cloud.training.trainer import TrainJob, train

    places, ranker = exam.places(config.model.window, config.model.causal), make_ranker(config.ranker)
    curve: list[tuple[float, float]] = []
    figures: dict[str, float] = {}

    def watch(model: Any, entry: dict[str, Any]) -> bool:
        scores = places.by_embedding(embed_positions(model, places.where), item_embeddings(model), ranker)
        figures.update(exam.figures(places, scores, config))
        curve.append(((curve[-1][0] if curve else 0.0) + entry["seconds"], figures["recall@20"]))
        return False

    job = TrainJob(config.model, config.train, exam.train, exam.items, config.prune, config.ranker, config.seed,
                   config.evaluate.mask_seen)  # fmt: skip
    trained = train(job, folder, watch=watch)
    embedded = embed_positions(trained.model, places.where)
    scores = places.by_embedding(embedded, item_embeddings(trained.model), ranker)
    return exam.figures(places, scores, config), trained.seconds, curve


def theirs(config: RunConfig, exam: Exam, folder: Path, options: argparse.Namespace) -> tuple[dict[str, float], float]:
    """Figures and seconds of training."""
    known, whole = exam.train, exam.whole
    table = np.column_stack([known.event_users(), known.items, known.timestamps])
    np.savetxt(folder / "train.tsv", table, "%d", "\t", header="SessionId\tItemId\tTime", comments="")
    first = np.maximum(exam.first, 1)
    np.savez(folder / "sequences.npz", items=whole.items, offsets=whole.offsets, first=first)
    job = {"gru4rec": str(options.gru4rec.resolve()), "train": str(folder / "train.tsv"), "items": exam.items,
           "sequences": str(folder / "sequences.npz"), "result": str(folder / "result.npz"), "seed": config.seed,
           "threads": options.threads, "parameters": list(options.parameters.items())}  # fmt: skip
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    script = Path(__file__).with_name("gru4rec_theirs.py")
    done = subprocess.run([options.python, str(script), str(folder / "job.json")], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"error: GRU4Rec did not run: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    with np.load(folder / "result.npz") as found:
        states, rows, bias, seconds = found["states"], found["table"], found["bias"], float(found["seconds"])
    places = exam.places(1)
    if len(states) != len(places.where):
        sys.exit(f"error: {len(states)} states for {len(places.where)} events: this is a fault of the benchmark")
    return exam.figures(places, lambda part: states[part] @ rows.T + bias, config), seconds


def baselines(config: RunConfig, exam: Exam) -> dict[str, dict[str, float]]:
    """Figures of what needs no neural network."""
    from pocketrec.cloud.baselines.baseline import Past
    from pocketrec.cloud.baselines.fitting import fit_all, judged

    places = exam.places(1)
    past = Past(exam.train, exam.items, config.seed, config.resources.threads)
    fitted = fit_all(config, past, judged(config, personal=exam.by_user))
    systems = {name: places.by_baseline(baseline) for name, baseline in fitted.items()}
    return {name: exam.figures(places, scores, config) for name, scores in systems.items()}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="TOML file, such as configs/yoochoose-100k.toml")
    parser.add_argument("--gru4rec", type=Path, help="folder with gru4rec_pytorch.py")
    parser.add_argument("--python", default=sys.executable, help="interpreter with PyTorch and pandas")
    parser.add_argument("--parameters", nargs="*", default=[], metavar="NAME=VALUE", help="of GRU4Rec, over rsc15's")
    parser.add_argument("--set", dest="overrides", nargs="*", default=[], metavar="KEY=VALUE", help="of ours")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=("ours", "theirs"), help="train one of the two alone")
    parser.add_argument("--slice", action="store_true", help="judge before the cut-off; the test is not opened")
    return parser


def main() -> None:
    options = _parser().parse_args()
    options.parameters = {**PARAMETERS, **dict(text.split("=", 1) for text in options.parameters)}
    if options.only != "ours" and not (options.gru4rec and (options.gru4rec / "gru4rec_pytorch.py").is_file()):
        sys.exit("error: name a checkout of GRU4Rec_PyTorch_Official with --gru4rec, or say --only ours")
    for name in ("OMP", "OPENBLAS", "MKL", "TF_INTRAOP", "TF_INTEROP"):
        key = f"TF_NUM_{name[3:]}_THREADS" if name.startswith("TF") else f"{name}_NUM_THREADS"
        os.environ[key] = str(options.threads)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from pocketrec.cloud.config.load import load_config
    from pocketrec.cloud.data.prepared import prepare
    from pocketrec.device.base.errors import PocketRecError

    rows: list[dict[str, Any]] = []
    title = f"{'seed':>4} {'system':<12}" + "".join(f"{name:>11}" for name in MEASURES) + f"{'training':>11}"

    def show(seed: int, system: str, figures: dict[str, float], seconds: float = 0.0, **more: Any) -> None:
        rows.append({"seed": seed, "system": system, **{name: figures[name] for name in MEASURES},
                     "train_s": round(seconds, 2), **more})  # fmt: skip
        print(f"{seed:>4} {system:<12}" + "".join(f"{figures[name]:>11.4f}" for name in MEASURES)
              + (f"{seconds:>9.1f} s" if seconds else ""), flush=True)  # fmt: skip

    try:
        config = load_config(options.config, [*options.overrides, f"resources.threads={options.threads}"])
        with tempfile.TemporaryDirectory() as folder:
            prepare(config, folder)
            exam = (slice_of if options.slice else test_of)(config, Path(folder))
            print(f"{len(exam.places(1).where)} events to foretell, {exam.train.events} to learn from, "
                  f"{exam.items} items; means over {'users' if exam.by_user else 'events'}\n{title}")  # fmt: skip
            for name, figures in baselines(config, exam).items():
                show(config.seed, name, figures)
            for seed in options.seeds:
                _compare(load_config(options.config, [*options.overrides, f"seed={seed}"]), exam, options, show)
    except PocketRecError as error:
        sys.exit(f"error: {error}")
    print(json.dumps({"benchmark": "gru4rec", "config": options.config.stem, "set": options.overrides,
                      "threads": options.threads, "slice": options.slice, "gru4rec": options.parameters,
                      "rows": rows}))  # fmt: skip


def _compare(config: RunConfig, exam: Exam, options: argparse.Namespace, show: Callable[..., None]) -> None:
    """One seed of both."""
    goal = seconds_theirs = 0.0
    if options.only != "ours":
        with tempfile.TemporaryDirectory() as folder:
            figures, seconds_theirs = theirs(config, exam, Path(folder), options)
        goal = figures["recall@20"]
        show(config.seed, "GRU4Rec", figures, seconds_theirs)
    if options.only != "theirs":
        with tempfile.TemporaryDirectory() as folder:
            figures, seconds, curve = ours(config, exam, Path(folder))
        reached = next((at for at, recall in curve if goal and recall >= goal), None)
        show(config.seed, "ours", figures, seconds, goal=goal, reached_s=reached, curve=curve)
        if reached:
            print(f"     ours reaches GRU4Rec's Recall@20 of {goal:.4f} in {reached:.1f} s, "
                  f"{reached / seconds_theirs:.2f} of its time")  # fmt: skip


if __name__ == "__main__":
    main()
