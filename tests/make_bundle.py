# SPDX-License-Identifier: Apache-2.0
"""Write the tiny bundle that the device tests use: ``python tests/make_bundle.py FOLDER``. Needs TensorFlow.

FOLDER gets a bundle (int8 item table, 60 items, windows of 6, batches of 4, 10 candidates a call), model untrained;
beside it lie FOLDER.zip, FOLDER.sampled.tflite (the same model with the sampled softmax as its training loss) and
FOLDER.items.npy (the item embeddings of the file). The candidates are random, and the recipe makes training visible.
FOLDER.packed is the same bundle packed, and FOLDER.lean a lean one of the same model: a head of 20 items, and four
categories (row modulo 4, as letters) for the others.
FOLDER.retrieve is the same bundle without candidates, whose file finds 25 items of the whole catalogue by itself;
FOLDER.retrieve.items.npy has the item embeddings of that file, which are rounded for being searched.
FOLDER.ranked is that bundle with a ranker of random tensors, which the device trains (way ranker).
FOLDER.cloze is a bundle of the same items, windows and batches whose model sees both sides: one target a window.
FOLDER.tasks is one of a backbone whose patches devices train (`compared` 20), for tests of tasks.
FOLDER.reference is a bundle with an untrained model of the reference configuration R, for the memory test.
FOLDER.tiny has the files of `tiny_device`.
FOLDER.contribution has the contribution file of the same model for federated rounds, and weights.npz, its weights.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pocketrec.cloud.backbones import build_model, item_embeddings
from pocketrec.cloud.config.export import ExportConfig
from pocketrec.cloud.config.model import GruOptions, ModelConfig
from pocketrec.cloud.config.nextitnet import GrecOptions, NextItNetOptions
from pocketrec.device.base.files import write_atomic
from pocketrec.device.contract.federated import CONTRIBUTION_FILE
from pocketrec.export.build import build_tflite
from pocketrec.export.bundle.content import BundleContent
from pocketrec.export.bundle.write import write_bundle_files
from pocketrec.export.federated.build import ALL, build_contribution
from pocketrec.export.tables.lean import ShardSizes, lean_model, lean_shards, lean_table

sys.path.append(str(Path(__file__).resolve().parent))  # PYTHONSAFEPATH leaves it out
from ranker_layer import Tensors

ITEMS, USERS, WINDOW, BATCH, CANDIDATES = 60, 20, 6, 4, 10
CUT_OFF = 1000


def make_bundle(folder: Path) -> None:
    """Write the bundle `folder` and what lies beside it."""
    config = ModelConfig(embedding=8, window=WINDOW, tables={"gru": GruOptions(hidden=12)})
    model = build_model(config, ITEMS, 1)
    made = _export(model, config, ExportConfig(batch=BATCH), CANDIDATES)
    rng = np.random.default_rng(1)
    rows = np.stack([rng.permutation(ITEMS)[:25] + 1 for _ in range(USERS)])
    content = BundleContent(
        model_file=made.content,
        items=[f"item {row}" for row in range(1, ITEMS)] + ['Ünïcode, "quoted"'],
        recipe={"learning_rate": 0.1, "passes": 4, "minimum_events": 2},
        card="# A bundle for tests\n",
        model=made.model,
        tensors=made.tensors,
        candidates=([f"u{place}" for place in range(USERS)], rows),
        cut_off=CUT_OFF,
        shards=3,
        created="2026-11-21T00:00:00Z",
    )
    write_bundle_files(folder, content, folder.with_name(folder.name + ".zip"))
    packed = dataclasses.replace(content, packed=(made.skeleton, made.coded))
    write_bundle_files(folder.with_name(folder.name + ".packed"), packed)
    np.save(folder.with_name(folder.name + ".items.npy"), made.item_embeddings)
    found = _export(model, config, ExportConfig(batch=BATCH, retrieve=25), CANDIDATES)
    alone = dataclasses.replace(content, model_file=found.content, model=found.model, tensors=found.tensors,
                                retrieval=found.retrieval, candidates=None)  # fmt: skip
    write_bundle_files(folder.with_name(folder.name + ".retrieve"), alone)
    np.save(folder.with_name(folder.name + ".retrieve.items.npy"), found.item_embeddings)
    both = keras.Model(model.inputs[0], Tensors(name="ranker")(model.outputs[0]))
    found = build_tflite(both, config, ExportConfig(batch=BATCH, retrieve=25, negatives=16), way="ranker",
                         optimizer="adagrad", candidates=CANDIDATES, ranker="ranknet")  # fmt: skip
    ranked = dataclasses.replace(alone, model_file=found.content, model=found.model, tensors=found.tensors,
                                 retrieval=found.retrieval, ranker=found.ranker)  # fmt: skip
    write_bundle_files(folder.with_name(folder.name + ".ranked"), ranked)
    sampled = _export(model, config, ExportConfig(batch=BATCH, full_softmax_limit=10, negatives=16), CANDIDATES)
    write_atomic(folder.with_name(folder.name + ".sampled.tflite"), sampled.content)

    _make_contribution(folder.with_name(folder.name + ".contribution"), model, config)
    _make_lean(folder.with_name(folder.name + ".lean"), model, config, rows)
    both = ModelConfig(backbone="grec", embedding=8, window=WINDOW, tables={"grec": GrecOptions(dilations=[1])})
    made = _export(build_model(both, ITEMS, 1), both, ExportConfig(batch=BATCH), CANDIDATES)
    cloze = dataclasses.replace(content, model_file=made.content, model=made.model, tensors=made.tensors)
    write_bundle_files(folder.with_name(folder.name + ".cloze"), cloze)
    _make_tasks(folder.with_name(folder.name + ".tasks"), content)
    config = ModelConfig(embedding=64, window=20, tables={"gru": GruOptions(hidden=96, layers=2)})
    made = _export(build_model(config, 3706, 1), config, ExportConfig(batch=16), 100)
    write_bundle_files(
        folder.with_name(folder.name + ".reference"),
        BundleContent(
            model_file=made.content,
            items=[str(row) for row in range(3706)],
            recipe={"passes": 10},
            card="# The reference configuration R, untrained\n",
            model=made.model,
            tensors=made.tensors,
        ),
    )


def _make_tasks(folder: Path, content: BundleContent) -> None:
    config = ModelConfig(
        backbone="nextitnet", embedding=8, window=WINDOW, tables={"nextitnet": NextItNetOptions(dilations=[1])}
    )
    export = ExportConfig(batch=BATCH, adapter=2, adapter_activation="gelu")
    made = build_tflite(build_model(config, ITEMS, 1), config, export, way="patch", optimizer="adagrad",
                        candidates=CANDIDATES, compared=20)  # fmt: skip
    whole = dataclasses.replace(content, model_file=made.content, model=made.model, tensors=made.tensors)
    write_bundle_files(folder, whole)


def _make_contribution(folder: Path, model: Any, config: ModelConfig) -> None:
    file = build_contribution(model, config, ExportConfig(batch=BATCH), tensors=ALL, table_limit=ITEMS)
    folder.mkdir(exist_ok=True)
    write_atomic(folder / CONTRIBUTION_FILE, file.content)
    np.savez(folder / "weights.npz", **file.weights)


def _make_lean(folder: Path, model: Any, config: ModelConfig, rows: Any) -> None:
    users, ids = [f"u{place}" for place in range(USERS)], [f"item {row}" for row in range(1, ITEMS + 1)]
    embeddings = item_embeddings(model)
    of_row = np.arange(ITEMS + 1) % 4 + 1
    of_row[0] = 0
    table = lean_table(embeddings, np.arange(ITEMS + 1)[::-1], 20, (list("abcd"), of_row))
    latest = [row[10:14] for row in rows]
    own, places = lean_shards(users, rows[:, :10], latest, table, embeddings, ids, ShardSizes(3, ITEMS))
    reserved = max(len(items.ids) for items in own)
    small = lean_model(model, config, table, reserved)
    made = _export(small, config, ExportConfig(batch=BATCH), CANDIDATES)
    write_bundle_files(
        folder,
        BundleContent(
            model_file=made.content,
            items=[*ids[:20], *table.labels],
            recipe={"learning_rate": 0.1, "passes": 4, "minimum_events": 2},
            card="# A lean bundle for tests\n",
            model=made.model,
            tensors=made.tensors,
            candidates=(users, places),
            cut_off=CUT_OFF,
            shards=3,
            packed=(made.skeleton, made.coded),
            lean={"head": 20, "buckets": len(table.labels), "reserved": reserved, "category": "category"},
            shard_items=own,
        ),
    )


def _export(model: Any, config: ModelConfig, export: ExportConfig, candidates: int) -> Any:
    return build_tflite(model, config, export, way="partial", optimizer="adagrad", candidates=candidates)


if __name__ == "__main__":
    import tiny_device

    make_bundle(Path(sys.argv[1]))
    tiny_device.write(Path(f"{sys.argv[1]}.tiny"))
