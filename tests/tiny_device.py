# SPDX-License-Identifier: Apache-2.0
"""A tiny model file for tests of the simulated devices: ``python tests/tiny_device.py FOLDER``. Needs TensorFlow.

`make` starts that as a process of its own: the caller's stays without TensorFlow, as the processes of a fleet must.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from pocketrec.cloud.fleet.device import DeviceUser

ITEMS, WINDOW, BATCH, CANDIDATES = 40, 6, 2, 10


def write(folder: Path) -> None:
    """Write partial.tflite, head.tflite and items.npy to `folder`: random weights, 40 items; and ``ranked``, a folder
    with what an export leaves of the same model with a ranker of a second stage, which the device trains."""
    import keras
    from ranker_layer import Tensors

    from pocketrec.cloud.backbones import build_model
    from pocketrec.cloud.config.export import ExportConfig
    from pocketrec.cloud.config.model import GruOptions, ModelConfig
    from pocketrec.export.build import build_tflite

    config = ModelConfig(embedding=8, window=WINDOW, tables={"gru": GruOptions(hidden=8)})
    model, options = build_model(config, ITEMS, 1), ExportConfig(batch=BATCH)
    folder.mkdir(exist_ok=True)
    for way in ("partial", "head"):
        made = build_tflite(model, config, options, way=way, optimizer="adagrad", candidates=CANDIDATES)
        (folder / f"{way}.tflite").write_bytes(made.content)
    np.save(folder / "items.npy", made.item_embeddings)
    both = keras.Model(model.inputs[0], Tensors(name="ranker")(model.outputs[0]))
    made = build_tflite(both, config, options, way="ranker", optimizer="adagrad", candidates=CANDIDATES,
                        ranker="ranknet")  # fmt: skip
    made.save(folder / "ranked", {})


def make(folder: Path) -> Path:
    """`write` in a process of its own."""
    subprocess.run([sys.executable, __file__, str(folder)], check=True, capture_output=True)
    return folder


def loyal_users(count: int, seed: int = 5, favourites: int = 3) -> list[DeviceUser]:
    """Users who only ever use a few items of their own, so that personal training has something true to learn."""
    generator = np.random.default_rng(seed)
    users = []
    for index in range(count):
        own = generator.choice(np.arange(1, ITEMS + 1), favourites, replace=False).astype(np.int32)
        events = own[generator.integers(0, favourites, 24)]
        candidates = np.arange(1, CANDIDATES + 1, dtype=np.int32)
        users.append(DeviceUser(f"u{index:02}", events[:6], events[6:18], events[18:], candidates))
    return users


if __name__ == "__main__":
    write(Path(sys.argv[1]))
