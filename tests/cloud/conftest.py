from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
import tiny_device


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with partial.tflite, head.tflite and items.npy; see `tiny_device`. Made once for all workers."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "tiny"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "items.npy").exists():
            tiny_device.make(folder)
    return folder
