# SPDX-License-Identifier: Apache-2.0
"""A personal patch on a shared one is rehearsed on validation users: where all have a habit it is, else it is left."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

from pocketrec.cloud.config.run import RunConfig
from pocketrec.cloud.config.transfer import TransferConfig, TransferRun
from pocketrec.cloud.transfer.rehearse import LEAST, rehearse
from pocketrec.cloud.transfer.rows import Rows, Task
from pocketrec.device.contract.patch import ITEMS_KIND, Patch, head_of
from pocketrec.device.contract.recipe import Recipe

WINDOW, ITEMS, TARGETS, USERS, EACH = 6, 60, 12, 14, 12


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """model.tflite of a small backbone whose patches devices train."""
    if ready := os.environ.get("POCKETREC_TEST_BUNDLE"):
        path = Path(f"{ready}.tasks/model.tflite")
        if path.exists():
            return path
    from pocketrec.cloud.backbones import build_model
    from pocketrec.cloud.config.export import ExportConfig
    from pocketrec.cloud.config.load import build_config
    from pocketrec.cloud.config.model import ModelConfig
    from pocketrec.export.build import build_tflite

    tables = {"backbone": "nextitnet", "embedding": 8, "window": WINDOW, "nextitnet": {"dilations": [1]}}
    config = build_config(ModelConfig, tables)
    export = ExportConfig(batch=4, adapter=2)
    made = build_tflite(build_model(config, ITEMS, 1), config, export, way="patch", optimizer="adagrad", candidates=10,
                        compared=20)  # fmt: skip
    path = tmp_path_factory.mktemp("model") / "model.tflite"
    path.write_bytes(made.content)
    return path


def made(habit: bool) -> tuple[Task, list[np.ndarray]]:
    """Users who always do one thing, each another (`habit`), or anything."""
    rng = np.random.default_rng(1)
    rows = USERS * EACH
    targets = np.repeat(rng.integers(1, TARGETS + 1, USERS), EACH) if habit else rng.integers(1, TARGETS + 1, rows)
    windows = rng.integers(1, ITEMS + 1, (rows, WINDOW)).astype(np.int32)
    users = np.repeat(np.array([f"u{place}" for place in range(USERS)], object), EACH)
    validation = Rows(users, windows, targets.astype(np.int32))
    task = Task("buys", ITEMS_KIND, [f"t{row}" for row in range(TARGETS)], validation, validation, [], {})
    return task, [np.zeros(0, np.int32)] * rows


def shared(model: Path) -> Patch:
    """A patch with the tensors of the model, as small random numbers, and a random head."""
    from pocketrec.device.engine.model import Model

    rng = np.random.default_rng(2)
    opened = Model(model)
    tensors = {name: rng.normal(0, 0.1, shape).astype(np.float32) for name, shape in opened.variables.items()
               if not name.endswith("_accumulator")}  # fmt: skip
    rows = rng.normal(0, 0.3, (TARGETS + 1, opened.embedding)).astype(np.float32)
    ids, biases = tuple(f"t{row}" for row in range(TARGETS)), np.zeros(TARGETS + 1, np.float32)
    return Patch("buys", ITEMS_KIND, "patch", "0" * 64, ids, tensors, *head_of(rows, ITEMS_KIND), biases,
                 Recipe(personalise=False), {})  # fmt: skip


@pytest.mark.slow
def test_it_is_made_personal_where_everybody_has_a_habit_and_not_where_nobody_has(model: Path, tmp_path: Path) -> None:
    transfer = TransferConfig(personal_rates=[0.05], personal_passes=4)
    config = TransferRun(**{field.name: getattr(RunConfig(), field.name) for field in dataclasses.fields(RunConfig)},
                         transfer=transfer)  # fmt: skip
    config = dataclasses.replace(config, resources=dataclasses.replace(config.resources, processes=1))
    patch = shared(model)
    task, histories = made(habit=True)
    recipe, told = rehearse(config, task, patch, histories, model, tmp_path / "habit.jsonl")
    assert told["users"] == USERS >= LEAST
    assert (recipe.personalise, recipe.learning_rate, recipe.passes) == (True, 0.05, 4)
    assert set(recipe.guard.prior) == {"quarter", "blend", "most", "personal"}
    assert recipe.forecast["rehearsed"]["mean"] > 0.05
    content = (tmp_path / "habit.jsonl").read_bytes()
    assert rehearse(config, task, patch, histories, model, tmp_path / "habit.jsonl") == (recipe, told), "it continues"
    assert (tmp_path / "habit.jsonl").read_bytes() == content
    task, histories = made(habit=False)
    recipe, told = rehearse(config, task, patch, histories, model, tmp_path / "any.jsonl")
    assert (recipe.personalise, told["chosen"]) == (False, "")
    assert told["tried"], "it was tried"
