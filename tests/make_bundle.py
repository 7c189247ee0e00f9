"""Write the tiny bundle that the device tests use: ``python tests/make_bundle.py FOLDER``. Needs TensorFlow.

FOLDER gets a bundle (int8 item table, 60 items, windows of 6, batches of 4, 10 candidates) with a model briefly trained on
users who go round a few items of their own; beside its files lies sampled.tflite, the same model with the sampled softmax
as its training loss. Its candidates are random, its recipe is full of numbers that make training visible.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

ITEMS, USERS, WINDOW, BATCH, CANDIDATES = 60, 20, 6, 4, 10
CUT_OFF = 1000


def make_bundle(folder: Path) -> None:
    from pocketrec.cloud.config import ExportConfig, ModelConfig
    from pocketrec.cloud.models import build_model
    from pocketrec.device.packing import write_bundle_files
    from pocketrec.export.build import build_tflite

    config = ModelConfig(embedding=8, hidden=12, window=WINDOW)
    model = build_model(config, ITEMS, 1)
    made = build_tflite(
        model, config, ExportConfig(batch=BATCH), way="partial", optimizer="adagrad", candidates=CANDIDATES
    )
    rng = np.random.default_rng(1)
    rows = np.stack([rng.permutation(ITEMS)[:25] + 1 for _ in range(USERS)])
    write_bundle_files(
        folder,
        model_file=made.content,
        items=[f"item {row}" for row in range(1, ITEMS)] + ["Ünïcode, \"quoted\""],
        recipe={"learning_rate": 0.1, "passes": 4, "minimum_events": 2},
        card="# A bundle for tests\n",
        model=made.model,
        tensors=made.tensors,
        candidates=([f"u{place}" for place in range(USERS)], rows),
        cut_off=CUT_OFF,
        shards=3,
        archive=folder.with_name(folder.name + ".zip"),
    )
    sampled = build_tflite(
        model, config, ExportConfig(batch=BATCH, full_softmax_limit=10, negatives=16),
        way="partial", optimizer="adagrad", candidates=CANDIDATES,
    )  # fmt: skip
    folder.with_name(folder.name + ".sampled.tflite").write_bytes(sampled.content)
    np.save(folder.with_name(folder.name + ".items.npy"), made.item_embeddings)


if __name__ == "__main__":
    make_bundle(Path(sys.argv[1]))
