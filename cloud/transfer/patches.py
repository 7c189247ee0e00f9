# SPDX-License-Identifier: Apache-2.0
"""Tuned patches as the files that devices take: one for each task, bound to the model of the run's bundle.

A file is judged as a device has it: with the numbers of the file, beside the backbone of the bundle, whose kernels and
item rows are integers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.config.transfer import METHODS, TransferRun
from pocketrec.cloud.transfer.baselines import histories, joint_rows
from pocketrec.cloud.transfer.judge import choose_repeats
from pocketrec.cloud.transfer.models import Models
from pocketrec.cloud.transfer.network import HEAD_BIASES, HEAD_ROWS, SOURCE_ITEMS
from pocketrec.cloud.transfer.rehearse import rehearse
from pocketrec.cloud.transfer.rows import HOME, Task, folder_of, load_task
from pocketrec.cloud.transfer.trials import Setting, best_trial
from pocketrec.cloud.transfer.tune import Trial, figure
from pocketrec.device.base.files import write_atomic
from pocketrec.device.contract.names import MODEL_FILE, PATCHES_FOLDER
from pocketrec.device.contract.patch import ITEMS_KIND, Patch, head_of, pack, unpack
from pocketrec.device.contract.recipe import Recipe
from pocketrec.device.contract.repeats import Repeats
from pocketrec.export.tables.quantise import quantise_weights
from pocketrec.export.tables.table import ItemTable

#: What the stage that writes the bundles has noted: ``models``, the model id of each bundle by its folder in the run.
BUNDLES_FILE: Final = f"{HOME}/bundles.json"


def write_patches(
    config: TransferRun, folder: Path, models: Mapping[str, str], optimizer: str, progress: Progress = no_progress
) -> dict[str, dict[str, Any]]:
    """Write the patch of every task: ``TASK/METHOD.tensors``, and a copy for each bundle, bound to its model.

    Args:
        config: of the run; ``transfer.patches`` names the method.
        folder: the run directory.
        models: model id of each bundle, by its folder in the run; the first is the full one.
        optimizer: of the bundles' devices.
        progress: called after each user of the rehearsal.

    Returns:
        What is told of each, by task and method.
    """
    made, found = Models(config, folder), {}
    for name in config.transfer.task:
        task = load_task(folder, name)
        found[name] = {method: _write(made, task, method, models, optimizer, progress)
                       for method in config.transfer.patches}  # fmt: skip
    return found


def as_shipped(models: Models) -> dict[str, NDArray[Any]]:
    """The backbone's tensors and item rows as the bundle has them, in float32."""
    export = models.config.export
    layers = {name: tensor.values for name, tensor in
              quantise_weights(models.pretrained.layers, export.weight_bits).items()}  # fmt: skip
    items = ItemTable.quantise(models.pretrained.items, export.item_table, export.item_bits,
                               searched=export.retrieve > 0)  # fmt: skip
    return {**layers, SOURCE_ITEMS: items.embeddings()}


def _write(
    models: Models, task: Task, method: str, ids: Mapping[str, str], optimizer: str, progress: Progress
) -> dict[str, Any]:
    config = models.config
    trial: Trial = best_trial(config, models.folder, Setting(task.name, 0, method))
    plan, path = models.plan(method), folder_of(models.folder, task.name) / f"{method}.tensors"
    export = config.export
    settings = {"adapter": export.adapter, "adapter_activation": export.adapter_activation,
                "cardinality": export.cardinality, "train_norm": export.train_norm, "rate": trial.rate,
                "epoch": trial.epoch, "loss": config.transfer.loss, "seed": config.seed, "method": method}  # fmt: skip
    way = METHODS.load(method).way
    biases = trial.values.get(HEAD_BIASES, np.zeros(len(task.ids) + 1, np.float32))
    patch = Patch(task.name, task.kind, way, next(iter(ids.values())), tuple(task.ids),
                  {name: trial.values[name] for name in plan.trained}, *head_of(trial.values[HEAD_ROWS], task.kind),
                  biases, Recipe(personalise=False, way=way, optimizer=optimizer), settings)  # fmt: skip
    held = unpack(pack(patch))
    network = models.network(method, task)
    network.restart({**as_shipped(models), **held.tensors, HEAD_ROWS: held.head(), HEAD_BIASES: held.biases})
    rows, repeats = task.validation, Repeats()
    asked = histories(rows, joint_rows(models.vocabulary, task.ids)) if task.kind == ITEMS_KIND else []
    if config.transfer.repeats and task.kind == ITEMS_KIND:
        repeats = choose_repeats(network.scores(rows.windows), asked, rows.targets)
    patch = dataclasses.replace(patch, recipe=dataclasses.replace(patch.recipe, repeats=repeats))
    model, lines = models.folder / next(iter(ids)) / MODEL_FILE, path.with_name("rehearsal.jsonl")
    recipe, personal = rehearse(config, task, patch, asked, model, lines, progress=progress)
    patch = dataclasses.replace(patch, recipe=recipe)
    write_atomic(path, pack(patch))
    for bundle, model_id in ids.items():
        copy = models.folder / bundle / PATCHES_FOLDER / f"{task.name}.tensors"
        copy.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(copy, pack(dataclasses.replace(patch, model=model_id)))
    return {
        "file": str(path.relative_to(models.folder)), "bytes": path.stat().st_size, "numbers": plan.numbers,
        "head_numbers": patch.rows.size + (0 if task.kind == ITEMS_KIND else biases.size),
        "share_of_backbone": plan.numbers / plan.backbone, "validation": trial.best,
        "validation_of_file": figure(network, task.validation, task.kind),
        "repeats": {"strength": repeats.strength, "decay": repeats.decay}, "personal": personal,
    }  # fmt: skip
