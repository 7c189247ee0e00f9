"""A tiny model file for tests of the simulated devices, made by a process of its own.

The caller's process stays without TensorFlow, as the processes of a fleet must.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from pocketrec.cloud.fleet.device import DeviceUser

ITEMS, WINDOW, BATCH, CANDIDATES = 40, 6, 2, 10

_MAKE = """
import sys, numpy as np
from pocketrec.cloud.config.export import ExportConfig
from pocketrec.cloud.config.model import GruOptions, ModelConfig
from pocketrec.cloud.backbones import build_model
from pocketrec.export.build import build_tflite
items, window, batch, candidates = map(int, sys.argv[2:6])
config = ModelConfig(embedding=8, window=window, tables={"gru": GruOptions(hidden=8)})
model = build_model(config, items, 1)
for way in ("partial", "head"):
    made = build_tflite(model, config, ExportConfig(batch=batch), way=way, optimizer="adagrad", candidates=candidates)
    open(f"{sys.argv[1]}/{way}.tflite", "wb").write(made.content)
np.save(f"{sys.argv[1]}/items.npy", made.item_embeddings)
"""


def make(folder: Path) -> Path:
    """Write partial.tflite, head.tflite and items.npy to `folder`: random weights, 40 items."""
    numbers = [str(n) for n in (ITEMS, WINDOW, BATCH, CANDIDATES)]
    subprocess.run([sys.executable, "-c", _MAKE, str(folder), *numbers], check=True, capture_output=True)
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
