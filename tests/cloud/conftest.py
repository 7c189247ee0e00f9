# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
import tiny_device

from pocketrec.device.contract.federated import CONTRIBUTION_FILE


@pytest.fixture(scope="session")
def contribution() -> Path:
    """Folder with a contribution file and its weights, beside the bundle of the device tests; see `make_bundle`."""
    made = Path(os.environ.get("POCKETREC_TEST_BUNDLE", "") + ".contribution")
    if not (made / CONTRIBUTION_FILE).exists():
        pytest.skip("no contribution file: set POCKETREC_TEST_BUNDLE to what tests/make_bundle.py FOLDER has written")
    return made


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with partial.tflite, head.tflite and items.npy; see `tiny_device`. Beside the bundle of the device tests,
    or else made once for all workers."""
    made = Path(os.environ.get("POCKETREC_TEST_BUNDLE", "") + ".tiny")
    if (made / "items.npy").exists():
        return made
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "tiny"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "items.npy").exists():
            tiny_device.make(folder)
    return folder
