# SPDX-License-Identifier: Apache-2.0
"""A bundle's signature `rank` on each runtime, in a process without TensorFlow."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

_PROGRAM = """
import sys
import numpy as np
from pathlib import Path
from pocketrec.device.delivery.bundle import open_bundle
from pocketrec.device.personal.windows import context
folder, bundle, runtime = Path(sys.argv[1]), open_bundle(Path(sys.argv[2])), sys.argv[3]
model = bundle.load_model(runtime)
asked = np.load(folder / "asked.npz")
found = {}
for number in range(len(asked.files) - 1):
    window = context(asked[f"history_{number}"], model.window)
    found[f"embedding_{number}"] = model.embed(window).reshape(-1)
    found[f"scores_{number}"] = model.rank(window, asked["rows"])
np.savez(folder / f"{runtime}.npz", **found)
"""


def ranked_by(
    bundle: Path, histories: Sequence[np.ndarray], rows: np.ndarray
) -> list[list[tuple[np.ndarray, np.ndarray]]]:
    """For each runtime, for each history (int32 item rows, oldest first): the user embedding float32 [E], and the
    scores float32 [n] of item rows int32 [n]."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        asked = {f"history_{number}": history for number, history in enumerate(histories)}
        np.savez(Path(folder) / "asked.npz", rows=rows, **asked)
        for runtime in ("ai_edge_litert", *(["tflite_runtime"] if sys.version_info < (3, 12) else [])):
            command = [sys.executable, "-c", _PROGRAM, folder, str(bundle), runtime]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            with np.load(Path(folder) / f"{runtime}.npz") as answer:
                found.append([(answer[f"embedding_{n}"], answer[f"scores_{n}"]) for n in range(len(histories))])
    return found
