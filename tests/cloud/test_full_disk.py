# SPDX-License-Identifier: Apache-2.0
"""Where nothing more can be written, every writer of the cloud ends in one `StorageError` and leaves what was there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.long, pytest.mark.skipif(not hasattr(os, "fork"), reason="limits of POSIX")]

# Every writer runs in a fork of one process, which has imported TensorFlow but not used it: importing takes seconds.
_SETUP = """
import json, os, resource, sys, traceback
from pathlib import Path
import numpy as np
from pocketrec.cloud.candidates import AlsModel, Candidates
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.training.checkpoint import Checkpoint
from pocketrec.device.base.errors import StorageError
from pocketrec.device.base.files import write_atomic
import pocketrec.cloud.backbones, pocketrec.export.build
users = np.array(["u"], dtype=object)
many = np.ones(20_000, np.int64)
rows = np.ones((1, 20_000), np.int32)
"""
_EACH = """
for name, code in json.loads(sys.argv[2]).items():
    path = Path(sys.argv[1], name, "file.keras")
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        continue
    for number, ending in ((1, "out"), (2, "err")):
        os.dup2(os.open(Path(sys.argv[1], f"{name}.{ending}"), os.O_WRONLY | os.O_CREAT), number)
    try:
        found = dict(globals())
        exec(code, found)
        resource.setrlimit(resource.RLIMIT_FSIZE, (16384, 16384))
        found["save"]()
    except StorageError as error:
        print(error, flush=True)
    except BaseException:
        traceback.print_exc()
    break  # the child ends as a process does: what is said then counts too
"""
_SAVES = {
    "sequences": "save = lambda: Sequences(users, np.array([0, 20_000]), many.astype(np.int32), many).save(path)",
    "candidates": "save = lambda: Candidates(users, rows, rows[0]).save(path)",
    "als": "save = lambda: AlsModel(users, rows.astype(np.float32), rows.astype(np.float32)).save(path)",
    "checkpoint": "save = lambda: Checkpoint('x', 'final', 1).save(path, [many], [])",
    "plain array": "save = lambda: write_atomic(path, lambda file: np.save(file, many))",
    "model": """
from pocketrec.cloud.config.model import GruOptions, ModelConfig
from pocketrec.cloud.backbones import build_model, save_model
model = build_model(ModelConfig(embedding=8, tables={"gru": GruOptions(hidden=8)}), 2000, 1)
save = lambda: save_model(model, path)
""",
    "conversion": """
import tempfile
from pocketrec.cloud.config.export import ExportConfig
from pocketrec.cloud.config.model import GruOptions, ModelConfig
from pocketrec.cloud.backbones import build_model
from pocketrec.export.build import build_tflite
config = ModelConfig(embedding=8, window=1, tables={"gru": GruOptions(hidden=8, layers=1)})
model = build_model(config, 2000, 1)
tempfile.tempdir = str(path.parent)
save = lambda: build_tflite(model, config, ExportConfig(), way="head", optimizer="sgd", candidates=5)
""",
}


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a folder for each writer, in which it was to replace a file, and with what it printed."""
    folder = tmp_path_factory.mktemp("full")
    for what in _SAVES:
        (folder / what).mkdir()
        (folder / what / "file.keras").write_bytes(b"as it was")
    command = [sys.executable, "-c", _SETUP + _EACH, str(folder), json.dumps(_SAVES)]
    subprocess.run(command, check=True, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}, capture_output=True)
    return folder


@pytest.mark.parametrize("what", _SAVES)
def test_a_full_disk_is_one_line(what: str, refused: Path) -> None:
    printed, errors = ((refused / f"{what}.{ending}").read_text(encoding="utf-8") for ending in ("out", "err"))
    assert printed.startswith("cannot write"), printed + errors
    assert printed.count("\n") == 1
    assert "Traceback" not in errors
    assert "Exception ignored" not in errors
    assert (refused / what / "file.keras").read_bytes() == b"as it was"
    assert [path.name for path in (refused / what).iterdir()] == ["file.keras"]
