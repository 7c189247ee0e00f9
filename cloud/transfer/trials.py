# SPDX-License-Identifier: Apache-2.0
"""All trials of a run: each task, number of training users, method and rate; each done once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.config.transfer import METHODS, TransferRun
from pocketrec.cloud.transfer.models import Models
from pocketrec.cloud.transfer.network import Network
from pocketrec.cloud.transfer.rows import Task, folder_of, load_task
from pocketrec.cloud.transfer.tune import Trial, load_trial, save_trial, tune

TRIALS = "trials"


@dataclass(frozen=True)
class Setting:
    """A system before its rate is chosen."""

    task: str
    users: int
    """Training users; 0 = all."""
    method: str

    @property
    def label(self) -> str:
        """Its name in tables."""
        return f"{self.method}, {self.users} users" if self.users else self.method

    def path(self, folder: Path, rate: float) -> Path:
        """The file of a trial."""
        name = f"{self.method}-{self.users or 'all'}-{rate:g}.npz"
        return folder_of(folder, self.task) / TRIALS / name

    def rates(self, config: TransferRun) -> list[float]:
        """The rates that are tried: one, 0, where nothing trains."""
        return sorted(set(config.transfer.rates)) if METHODS.load(self.method).trains else [0.0]


def settings_of(config: TransferRun, task: Task) -> Iterator[Setting]:
    """All settings of a task; of few users those that are fewer than there are, and none that trains nothing.

    A head of classes cannot start from source items, so that a profile has nothing untuned.
    """
    most = len(task.order)
    for users in (0, *sorted({count for count in config.transfer.users if count < most}, reverse=True)):
        for method in config.transfer.methods:
            trains = METHODS.load(method).trains
            if trains or (task.kind == "items" and not users):
                yield Setting(task.name, users, method)


def tune_all(
    config: TransferRun, folder: Path, *, record: Callable[[dict[str, Any]], None] = lambda entry: None,
    progress: Progress = no_progress,
) -> dict[str, Trial]:  # fmt: skip
    """Do every trial that has no file yet; the best one of each setting, by ``TASK/LABEL``."""
    models = Models(config, folder)
    tasks = [load_task(folder, name) for name in config.transfer.task]
    found = [(task, setting) for task in tasks for setting in settings_of(config, task)]
    planned = sum(len(setting.rates(config)) for _, setting in found)
    done, best = 0, {}
    networks: dict[tuple[str, str], Network] = {}
    for task, setting in found:
        paths = {rate: setting.path(folder, rate) for rate in setting.rates(config)}
        if any(not path.exists() for path in paths.values()):
            key = (setting.task, setting.method)
            network = networks[key] = networks.get(key) or models.network(setting.method, task)
            train = task.train.of_first_users(task.order, setting.users)
        for rate, path in paths.items():
            label = f"{setting.task}: {setting.label}, rate {rate:g}"
            progress(done, planned, label)
            if not path.exists():
                watch = _watch(progress, done, planned, label)
                trial = tune(network, config.transfer, train, task.validation, task.kind, rate, seed=config.seed,
                             watch=watch)  # fmt: skip
                save_trial(path, trial)
            trial = load_trial(path)
            record({"task": setting.task, "system": setting.label, "rate": rate, "epoch": trial.epoch,
                    "validation": round(trial.best, 6), "curve": trial.curve.round(6).tolist()})  # fmt: skip
            done += 1
        best[f"{setting.task}/{setting.label}"] = best_trial(config, folder, setting)
    progress(done, planned)
    return best


def _watch(progress: Progress, done: int, planned: int, label: str) -> Callable[[int, float], None]:
    return lambda epoch, value: progress(done, planned, f"{label}, epoch {epoch}: {value:.4f}")


def best_trial(config: TransferRun, folder: Path, setting: Setting) -> Trial:
    """The trial that validation users choose; of equal ones that of the smallest rate."""
    return max((load_trial(setting.path(folder, rate)) for rate in setting.rates(config)), key=lambda trial: trial.best)
