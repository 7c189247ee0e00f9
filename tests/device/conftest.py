# SPDX-License-Identifier: Apache-2.0
"""The bundle that the device tests use: a folder named by POCKETREC_TEST_BUNDLE, else made here where TensorFlow is."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pocketrec.device.delivery.bundle import Bundle, open_bundle
from pocketrec.device.engine.model import Model

MAKE = Path(__file__).parents[1] / "make_bundle.py"


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle's folder, not to be changed; see tests/make_bundle.py for what lies beside it."""
    if ready := os.environ.get("POCKETREC_TEST_BUNDLE"):
        return Path(ready)
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("no TensorFlow here: set POCKETREC_TEST_BUNDLE to what tests/make_bundle.py FOLDER has written")
    folder = tmp_path_factory.mktemp("made") / "bundle"
    subprocess.run([sys.executable, str(MAKE), str(folder)], check=True, capture_output=True)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of the bundle, free to be changed."""
    return Path(shutil.copytree(made, tmp_path / "bundle", ignore=shutil.ignore_patterns(".verified")))


@pytest.fixture
def bundle(folder: Path) -> Bundle:
    return open_bundle(folder)


@pytest.fixture
def model(bundle: Bundle) -> Model:
    return bundle.load_model()


@pytest.fixture
def table(made: Path) -> np.ndarray:
    """The item embeddings of the model file, float32 [N + 1, E]."""
    return np.asarray(np.load(made.with_name(made.name + ".items.npy")))


@pytest.fixture
def searched(made: Path) -> np.ndarray:
    """The item embeddings of the file whose catalogue is searched, float32 [N + 1, E]."""
    return np.asarray(np.load(made.with_name(made.name + ".retrieve.items.npy")))
