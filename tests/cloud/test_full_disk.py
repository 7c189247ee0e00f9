"""Where nothing more can be written, every writer of the cloud ends in one `StorageError` and leaves what was there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="limits of POSIX")

_SETUP = """
import resource, sys
from pathlib import Path
import numpy as np
from pocketrec.cloud.candidates import AlsModel, Candidates
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.training.checkpoint import Checkpoint
from pocketrec.device.base.errors import StorageError
from pocketrec.device.base.files import write_atomic
path = Path(sys.argv[1])
users = np.array(["u"], dtype=object)
many = np.ones(20_000, np.int64)
rows = np.ones((1, 20_000), np.int32)
"""
_REFUSED = """
resource.setrlimit(resource.RLIMIT_FSIZE, (16384, 16384))
try:
    save()
except StorageError as error:
    print(error)
"""
_SAVES = {
    "sequences": "save = lambda: Sequences(users, np.array([0, 20_000]), many.astype(np.int32), many).save(path)",
    "candidates": "save = lambda: Candidates(users, rows, rows[0]).save(path)",
    "als": "save = lambda: AlsModel(users, rows.astype(np.float32), rows.astype(np.float32)).save(path)",
    "checkpoint": "save = lambda: Checkpoint('x', 'final', 1).save(path, [many], [])",
    "plain array": "save = lambda: write_atomic(path, lambda file: np.save(file, many))",
    "model": """
from pocketrec.cloud.config.model import ModelConfig
from pocketrec.cloud.backbones import build_model, save_model
model = build_model(ModelConfig(embedding=8, hidden=8), 2000, 1)
save = lambda: save_model(model, path)
""",
    "conversion": """
import tempfile
from pocketrec.cloud.config.export import ExportConfig
from pocketrec.cloud.config.model import ModelConfig
from pocketrec.cloud.backbones import build_model
from pocketrec.export.build import build_tflite
config = ModelConfig(embedding=8, hidden=8, window=4, layers=1)
model = build_model(config, 2000, 1)
tempfile.tempdir = str(path.parent)
save = lambda: build_tflite(model, config, ExportConfig(), way="head", optimizer="sgd", candidates=5)
""",
}


@pytest.mark.parametrize("what", _SAVES)
def test_a_full_disk_is_one_line(what: str, tmp_path: Path) -> None:
    path = tmp_path / "file.keras"
    path.write_bytes(b"as it was")
    command = [sys.executable, "-c", _SETUP + _SAVES[what] + _REFUSED, str(path)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("cannot write"), done.stdout
    assert done.stdout.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert path.read_bytes() == b"as it was"
    assert list(tmp_path.iterdir()) == [path]
