# SPDX-License-Identifier: Apache-2.0
"""What each stage of ``pocketrec transfer`` does. The test rows of a task are opened by `judge`, once."""

from __future__ import annotations

from typing import Any

from pocketrec.cloud.base.arrays import save_arrays
from pocketrec.cloud.base.runs import METRICS_FILE, Run, read_json, write_json
from pocketrec.cloud.config.transfer import METHODS, TransferRun
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.data.vocabulary import Vocabulary
from pocketrec.cloud.metrics.metrics import ranks
from pocketrec.cloud.transfer.baselines import baseline_scores, histories, joint_rows
from pocketrec.cloud.transfer.judge import choose_repeats, reference_of, with_repeats
from pocketrec.cloud.transfer.lists import Line, write_lists
from pocketrec.cloud.transfer.models import VOCABULARY_FILE, Models
from pocketrec.cloud.transfer.network import Network
from pocketrec.cloud.transfer.result import Judged, make_metrics
from pocketrec.cloud.transfer.rows import (
    HOME,
    PARTS,
    Rows,
    Task,
    assert_disjoint,
    folder_of,
    load_task,
    load_test,
    save_task,
)
from pocketrec.cloud.transfer.tasks import make_task, read_source
from pocketrec.cloud.transfer.trials import best_trial, settings_of, tune_all
from pocketrec.device.base.errors import ConfigError

SOURCE_FILE = f"{HOME}/source.npz"
RANKS_FILE = f"{HOME}/ranks.npz"


def settings(run: Run) -> TransferRun:
    """The configuration of the run.

    Raises:
        ConfigError: the run is another command's.
    """
    if not isinstance(run.config, TransferRun):
        raise ConfigError("this is not a configuration of pocketrec transfer: load it with load_transfer")
    return run.config


def split(run: Run) -> None:
    """Read the source and the tasks, and split their users: ``RUN/transfer``."""
    config = settings(run)
    with run.progress("source") as progress:
        source = read_source(config, progress)
    source.vocabulary.save(run.path(*VOCABULARY_FILE.split("/")))
    source.sequences.save(run.path(*SOURCE_FILE.split("/")))
    run.detail(f"source: {source.sequences.events} events of {len(source.sequences)} users, "
               f"{len(source.vocabulary)} items")  # fmt: skip
    for name in config.transfer.task:
        with run.progress(name) as progress:
            task, test = make_task(config, name, source, progress)
        folder_of(run.folder, name).mkdir(parents=True, exist_ok=True)
        save_task(run.folder, task, test)
        parts = dict(zip(PARTS, (task.train, task.validation, test), strict=True))
        told = ", ".join(f"{part} {len(set(rows.users.tolist()))} users {len(rows)} targets"
                         for part, rows in parts.items())  # fmt: skip
        what = "classes" if task.kind == "profile" else "items"
        run.detail(f"{name}: {len(task.ids)} {what}; {told}")
        for why, count in task.left_out.items():
            run.detail(f"{name}: {count} left out: {why}")
        if config.transfer.files:
            _write_files(run, task, parts, source.vocabulary)


def _write_files(run: Run, task: Task, parts: dict[str, Rows], vocabulary: Vocabulary) -> None:
    """Each part of a task as a file of source,,target lines."""
    for part, rows in parts.items():
        lines = [Line(tuple(vocabulary.ids[row - 1] for row in window[window > 0]), (task.ids[target - 1],))
                 for window, target in zip(rows.windows, rows.targets.tolist(), strict=True)]  # fmt: skip
        write_lists(folder_of(run.folder, task.name) / f"{part}.csv", lines)


def pretrain(run: Run) -> None:
    """Train the backbone on the source: ``RUN/transfer/backbone.keras``."""
    from pocketrec.cloud.training.trainer import TrainJob, train

    config = settings(run)
    sequences, vocabulary = _source(run)
    with run.progress() as progress:
        job = TrainJob(config.model, config.train, sequences, len(vocabulary), seed=config.seed)
        trained = train(job, run.path(HOME), name="backbone", record=lambda entry: run.record([entry]),
                        progress=progress)  # fmt: skip
    run.record(trained.history, replace=True)
    run.detail(f"{trained.epochs} epochs, {trained.seconds:.1f} s, loss {trained.history[-1]['loss']:.4f}")


def tune(run: Run) -> None:
    """Every task, method and rate; validation users choose: ``RUN/transfer/TASK/trials``."""
    config = settings(run)
    run.record([], replace=True)
    entries: list[dict[str, Any]] = []
    with run.progress() as progress:
        best = tune_all(config, run.folder, record=entries.append, progress=progress)
    run.record(entries, replace=True)
    for name, trial in best.items():
        run.detail(f"{name}: validation {trial.best:.4f} at rate {trial.rate:g}, epoch {trial.epoch}")
    write_json(run.path(HOME, "tuned.json"), {name: [trial.rate, trial.epoch, trial.best]
                                              for name, trial in best.items()})  # fmt: skip


def judge(run: Run) -> None:
    """Open the test rows, rank every system on them, and write ``RUN/metrics.json``."""
    config = settings(run)
    models, (sequences, _) = Models(config, run.folder), _source(run)
    found: dict[str, Judged] = {}
    for name in config.transfer.task:
        task, test = load_task(run.folder, name), load_test(run.folder, name)
        assert_disjoint(dict(zip(PARTS, (task.train, task.validation, test), strict=True)))
        found[name] = _judge_task(run, config, models, task, test, sequences)
    arrays = {f"{name}/{system}": rank for name, judged in found.items() for system, rank in judged.ranks.items()}
    save_arrays(run.path(*RANKS_FILE.split("/")), arrays)
    write_json(run.folder / METRICS_FILE, make_metrics(config, found))


def _judge_task(
    run: Run, config: TransferRun, models: Models, task: Task, test: Rows, sequences: Sequences
) -> Judged:
    """Ranks of a task's test rows by every system."""
    ties, found = config.evaluate.ties, {}
    about: dict[str, dict[str, Any]] = {}
    for name, scores in baseline_scores(config, task, sequences, models.vocabulary, test).items():
        found[name] = ranks(scores, test.targets, ties)
    joint = joint_rows(models.vocabulary, task.ids)
    settings_, networks = list(settings_of(config, task)), dict[str, Network]()
    with run.progress(task.name) as progress:
        for done, setting in enumerate(settings_):
            progress(done, len(settings_), setting.label)
            trial = best_trial(config, run.folder, setting)
            plan, way = models.plan(setting.method), METHODS.load(setting.method).way
            network = networks[way] = networks.get(way) or models.network(setting.method, task)  # equal layers
            network.restart({**models.start(setting.method, task), **trial.values})
            scores = network.scores(test.windows)
            found[setting.label] = ranks(scores, test.targets, ties)
            beside = sum(value.size for name, value in trial.values.items() if name not in plan.trained)
            about[setting.label] = {
                "method": setting.method, "training_users": setting.users or len(task.order), "rate": trial.rate,
                "epoch": trial.epoch, "validation": trial.best, "trained_in_backbone": plan.numbers,
                "trained_beside": beside, "share_of_backbone": plan.numbers / plan.backbone,
            }  # fmt: skip
            if config.transfer.repeats and task.kind == "items" and not setting.users:
                known = network.scores(task.validation.windows)
                bonus = choose_repeats(known, histories(task.validation, joint), task.validation.targets)
                label = f"{setting.label} + repeats"
                found[label] = ranks(with_repeats(scores, histories(test, joint), bonus), test.targets, ties)
                about[label] = {"strength": bonus.strength, "decay": bonus.decay}
        progress(len(settings_), len(settings_))
    return Judged(task, test, found, about, reference_of(config.transfer, found))


def patches(run: Run) -> None:
    """Write the tuned patches: ``RUN/transfer/TASK/METHOD.tensors``, and one for each bundle of the run."""
    from pocketrec.cloud.transfer.patches import BUNDLES_FILE, write_patches

    config = settings(run)
    models = read_json(run.folder / BUNDLES_FILE).get("models", {})
    with run.progress("rehearsal") as progress:
        content = write_patches(config, run.folder, models, config.personalise.optimizer, progress)
    for task, entries in content.items():
        for method, entry in entries.items():
            run.detail(f"{task}: {method} {entry['bytes']} bytes, validation {entry['validation']:.4f} as tuned, "
                       f"{entry['validation_of_file']:.4f} from the file")  # fmt: skip
            if tried := entry["personal"]["tried"]:
                best = max(tried.values(), key=lambda found: found["mean"])
                chosen = entry["personal"]["chosen"] or "nobody is made personal"
                run.detail(f"{task}: {method} made personal by {entry['personal']['users']} validation users, at best "
                           f"{best['mean']:+.4f} in reciprocal rank: {chosen}")  # fmt: skip
    write_json(run.path(HOME, "patches.json"), content)


def report(run: Run) -> None:
    """Write ``RUN/report.html``."""
    from pocketrec.cloud.transfer.report import write_report

    write_report(run.folder)


def _source(run: Run) -> tuple[Sequences, Vocabulary]:
    return Sequences.load(run.folder / SOURCE_FILE), Vocabulary.load(run.folder / VOCABULARY_FILE)

