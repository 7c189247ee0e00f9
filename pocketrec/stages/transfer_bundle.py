# SPDX-License-Identifier: Apache-2.0
"""The backbone of a transfer run as bundles of the way of its patches: plain, packed and, where wanted, lean."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any, Final

from pocketrec.cloud.base.runs import Run, versions, write_json
from pocketrec.device.base.files import storage_error

if TYPE_CHECKING:
    import keras

    from pocketrec.cloud.config.transfer import TransferRun
    from pocketrec.cloud.data.sequences import Sequences
    from pocketrec.export.build import ExportedModel
    from pocketrec.export.bundle.content import BundleContent

#: Rows that a step of a patch compares on the device: a whole head of up to so many.
_COMPARED: Final = 4096


def write_bundles(run: Run) -> None:
    """Write ``RUN/bundle``, ``RUN/packed`` and ``RUN/lean``, checked on every runtime, and note their model ids."""
    from pocketrec.cloud.backbones import load_model
    from pocketrec.cloud.data.sequences import Sequences
    from pocketrec.cloud.transfer.models import BACKBONE_FILE
    from pocketrec.cloud.transfer.patches import BUNDLES_FILE
    from pocketrec.cloud.transfer.stages import SOURCE_FILE, settings

    config, sequences = settings(run), Sequences.load(run.folder / SOURCE_FILE)
    model = load_model(run.folder / BACKBONE_FILE)
    made, gate = _exported(run, config, model)
    content = _content(run, config, made, gate)
    models = {"bundle": _write(run, "bundle", content, made, packed=False)}
    models["packed"] = _write(run, "packed", content, made, packed=True)
    if config.lean.enabled:
        models["lean"] = _lean(run, config, model, sequences, content)
    write_json(run.path(*BUNDLES_FILE.split("/")), {"models": models})
    run.detail(f"model.tflite, {len(made.content) / 1e6:.2f} MB, way {made.model['way']}, checked on "
               f"{', '.join(gate['runtimes'])}")  # fmt: skip


def _exported(run: Run, config: TransferRun, model: keras.Model) -> tuple[ExportedModel, dict[str, Any]]:
    """The model file, and what the gate found."""
    from pocketrec.cloud.config.transfer import METHODS
    from pocketrec.cloud.transfer.rows import load_task
    from pocketrec.export.build import build_tflite
    from pocketrec.export.gate.gate import check

    most = max(len(load_task(run.folder, name).ids) for name in config.transfer.task)
    try:
        made = build_tflite(
            model, config.model, config.export, way=METHODS.load(config.transfer.patches[0]).way,
            optimizer=config.personalise.optimizer, candidates=config.candidates.k, compared=min(most, _COMPARED),
        )  # fmt: skip
        return made, check(made, model, config.seed).to_dict()
    except OSError as error:  # both work in a temporary folder
        raise storage_error(tempfile.gettempdir(), error) from None


def _content(run: Run, config: TransferRun, made: ExportedModel, gate: dict[str, Any]) -> BundleContent:
    from pocketrec.cloud.data.vocabulary import Vocabulary
    from pocketrec.cloud.transfer.models import VOCABULARY_FILE
    from pocketrec.device.contract.recipe import Recipe
    from pocketrec.export.bundle.content import BundleContent

    recipe = Recipe(way=made.model["way"], optimizer=made.model["optimizer"])
    return BundleContent(
        items=Vocabulary.load(run.folder / VOCABULARY_FILE).ids, recipe=recipe, model_file=made.content,
        model=made.model, tensors=made.tensors, card=_card(config, made), gate=gate, versions=versions(),
    )  # fmt: skip


def _write(run: Run, name: str, content: BundleContent, made: ExportedModel, *, packed: bool) -> str:
    """Write one bundle; its model id."""
    import dataclasses

    from pocketrec.export.bundle.write import write_bundle_files

    parts = (made.skeleton, made.coded) if packed else None
    return write_bundle_files(run.folder / name, dataclasses.replace(content, packed=parts)).model_id


def _lean(run: Run, config: TransferRun, model: keras.Model, sequences: Sequences, content: BundleContent) -> str:
    """Write ``RUN/lean``: a shard brings the latest items of its users' windows; its model id."""
    import dataclasses

    import numpy as np

    from pocketrec.cloud.backbones import item_embeddings
    from pocketrec.device.contract.shards import shards_for
    from pocketrec.export.tables.lean import ShardSizes, lean_model, lean_shards, lean_table

    embeddings, users = item_embeddings(model), sequences.users.tolist()
    table = lean_table(embeddings, np.bincount(sequences.items, minlength=len(embeddings)), config.lean.head)
    shards = shards_for(len(users))
    latest = [sequences.of(place)[0][-config.model.window :] for place in range(len(users))]
    popular = np.tile(np.arange(1, min(config.candidates.k, len(embeddings) - 1) + 1, dtype=np.int32), (len(users), 1))
    own, rows = lean_shards(users, popular, latest, table, embeddings, content.items,
                            ShardSizes(shards, config.lean.shard_items, config.export.item_bits))  # fmt: skip
    reserved = max(len(items.ids) for items in own)
    made, gate = _exported(run, config, lean_model(model, config.model, table, reserved))
    counts = {"head": table.head, "buckets": len(table.labels), "reserved": reserved, "category": ""}
    small = dataclasses.replace(
        content, items=[*content.items[: table.head], *table.labels], model_file=made.content, model=made.model,
        tensors=made.tensors, gate=gate, candidates=(users, rows), lean=counts, shard_items=own, shards=shards,
    )  # fmt: skip
    return _write(run, "lean", small, made, packed=True)


def _card(config: TransferRun, made: ExportedModel) -> str:
    """MODEL_CARD.md of a backbone with patches."""
    trained = ", ".join(f"`{spec['name']}`" for spec in made.tensors["trainable"])
    tasks = "\n".join(f"- `{name}` ({task.kind})" for name, task in config.transfer.task.items())
    facts = "\n".join(f"| {name} | {value} |" for name, value in made.model.items())
    return (
        f"# Backbone {made.model['backbone']} for patches of tasks\n\nPretrained on the source events of the log "
        f"`{config.data.set or 'of a file'}`, those of the tasks' test users too; the tasks' targets are not in it.\n\n"
        f"## Tasks\n\n{tasks}\n\nEach comes as a patch beside this bundle (`pocketrec pull --task NAME`).\n\n"
        f"## Model\n\n| what | value |\n| --- | --- |\n{facts}\n\nA patch holds {trained}, and the task's own rows.\n\n"
        "## Limits\n\n- Personal training of the backbone itself was not rehearsed: its guard expects nothing, and the "
        "held-back events decide.\n- The file holds no user's events, but its weights were learned from them.\n"
    )
