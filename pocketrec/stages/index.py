# SPDX-License-Identifier: Apache-2.0
"""An index beside the exported file: lists over its item table, where they are worth their bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pocketrec.cloud.base.runs import Run, read_json, write_json

if TYPE_CHECKING:
    from pocketrec.device.base.array import Array

_USERS: Final = 200  # whose embeddings measure the recall, drawn once


def add_index(run: Run) -> None:
    """Write ``RUN/export/lists.bin`` and note it in facts.json, where the configuration and the table want lists."""
    folder, config = run.folder / "export", run.config.export
    facts = read_json(folder / "facts.json")
    told = facts.get("retrieval")
    if not told or config.index == "exhaustive" or not told["table"]["scales_offset"]:
        return
    from pocketrec.device.contract.retrieval import retrieval_of
    from pocketrec.device.engine.retrieve import ItemScan
    from pocketrec.export.lists import LEAST_ITEMS, TOP, list_count, try_lists

    items, path = facts["model"]["items"], folder / "model.tflite"
    if config.index == "auto" and items < LEAST_ITEMS:
        return
    place = retrieval_of(told, items, path.stat().st_size).table
    rows, scales = ItemScan(path, place).stored()
    count = list_count(items, config.lists)
    tried = try_lists(rows, scales[:, None], _embeddings(run), config.recall, count, run.config.seed)
    run.detail(f"index: {tried.reason}")
    (folder / "lists.bin").unlink(missing_ok=True)
    if tried.lists is not None:
        (folder / "lists.bin").write_bytes(tried.lists.dump())
        told |= {"kind": "lists", "probes": tried.probes, "recall": {str(TOP): round(tried.recall, 4)}}
        write_json(folder / "facts.json", facts)


def _embeddings(run: Run) -> Array:
    """Embeddings, float32 [U, E], of users with a history before the cut-off, after their latest events."""
    import numpy as np

    from pocketrec.cloud.backbones import load_model
    from pocketrec.cloud.data.prepared import load_cloud

    before, window = load_cloud(run.folder).before, run.config.model.window
    places = np.flatnonzero(before.lengths > 0)
    chosen = np.random.default_rng(run.config.seed).choice(places, min(_USERS, len(places)), replace=False)
    windows = np.zeros((len(chosen), window), np.int32)
    for line, place in zip(windows, chosen, strict=True):
        rows = before.of(place)[0]
        rows = rows[rows > 0][-window:]
        line[: len(rows)] = rows
    windows = windows[windows[:, 0] > 0]
    model = load_model(run.folder / "train" / "model.keras")
    last = (windows > 0).sum(axis=1) - 1
    embeddings: Array = np.asarray(model(windows, training=False), np.float32)[np.arange(len(windows)), last]
    return embeddings
