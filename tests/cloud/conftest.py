from __future__ import annotations

from pathlib import Path

import pytest
import tiny_device


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with partial.tflite, head.tflite and items.npy; see `tiny_device`."""
    return tiny_device.make(tmp_path_factory.mktemp("tiny"))
