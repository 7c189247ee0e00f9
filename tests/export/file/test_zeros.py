# SPDX-License-Identifier: Apache-2.0
"""Constants of zeros are left out of the file, and both runtimes compute what they did with them, bit for bit."""

from __future__ import annotations

import copy
import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorflow.lite.python import schema_py_generated as schema

from pocketrec.cloud.backbones import build_model
from pocketrec.cloud.config.export import ExportConfig
from pocketrec.cloud.config.model import GruOptions, ModelConfig
from pocketrec.cloud.config.personalise import DEVICE_OPTIMIZERS, WAYS
from pocketrec.device.contract.packed import fill
from pocketrec.export.build import ExportedModel, build_tflite
from pocketrec.export.file import convert
from pocketrec.export.file.shrink import write
from pocketrec.export.file.zeros import LEAST, fill_zeros
from pocketrec.export.gate import gate

ITEMS, WINDOW, BATCH, STEPS = 50, 3, 16, 3
CONFIG = ModelConfig(embedding=8, window=WINDOW, tables={"gru": GruOptions(hidden=16, layers=1)})
# Every way once, and the optimizers in turn: constants of a way do not depend on the optimizer. In the short suite
# every export goes through the same: the gate compares what it computes with Keras.
PAIRS = list(zip(WAYS, itertools.cycle(DEVICE_OPTIMIZERS), strict=False))


@pytest.fixture(scope="module", params=[pytest.param(pair, marks=pytest.mark.long) for pair in PAIRS])
def files(request: pytest.FixtureRequest) -> tuple[bytes, ExportedModel]:
    """A file with its constants of zeros, and the same model without."""
    given: list[bytes] = []

    def noted(model: Any) -> None:
        given.append(write(copy.deepcopy(model)))
        fill_zeros(model)

    way, optimizer = request.param
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convert, "fill_zeros", noted)
        made = build_tflite(build_model(CONFIG, ITEMS, 1), CONFIG, ExportConfig(batch=BATCH, adapter=16), way=way,
                            optimizer=optimizer, candidates=5)  # fmt: skip
    return given[0], made


def _zeros(content: bytes) -> list[int]:
    """Bytes of each constant of zeros from `LEAST` bytes on."""
    model = _parsed(content)
    constants = [buffer.data for buffer in model.buffers if buffer.data is not None]
    return [len(data) for data in constants if len(data) >= LEAST and not np.any(data)]


def _parsed(content: bytes) -> Any:
    return schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))


def _filled(content: bytes) -> bytes:
    model = _parsed(content)
    fill_zeros(model)
    return write(model)


def _outputs(content: bytes, folder: Path, runtime: str) -> dict[str, bytes]:
    """What the signatures give on a runtime, in a process of its own: slots at first, losses, what was trained."""
    rng = np.random.default_rng(2)
    path, inputs, outputs = folder / "model.tflite", folder / "inputs.npz", folder / "outputs.npz"
    path.write_bytes(content)
    np.savez(
        inputs,
        contexts=rng.integers(1, ITEMS + 1, (2, WINDOW), dtype=np.int32),
        candidates=rng.integers(1, ITEMS + 1, 5, dtype=np.int32),
        items=rng.integers(0, ITEMS + 1, (STEPS, BATCH, WINDOW), dtype=np.int32),
        targets=rng.integers(0, ITEMS + 1, (STEPS, BATCH, WINDOW), dtype=np.int32),
        learning_rate=np.float32(0.1),
        proximal=np.float32(0.05),
    )
    words = [sys.executable, "-P", "-m", "pocketrec.device.engine.probe", str(path), str(inputs), str(outputs), runtime]
    subprocess.run(words, check=True, capture_output=True)
    with np.load(outputs) as found:
        return {name: found[name].tobytes() for name in found.files}


def test_no_constant_of_zeros_is_left_and_every_bit_computed_is_the_same(
    files: tuple[bytes, ExportedModel], tmp_path: Path
) -> None:
    before, made = files
    assert _zeros(before), "there was nothing to leave out: the test needs a larger model"
    assert _zeros(made.content) == []
    assert len(made.content) < len(before) - 0.8 * sum(_zeros(before))
    assert "FILL" in gate.builtin_ops(made.content)
    assert fill(made.skeleton, made.coded) == made.content
    for runtime in sorted(gate.obtainable()):
        expected, found = (_outputs(content, tmp_path, runtime) for content in (before, made.content))
        assert expected["losses"] != bytes(len(expected["losses"]))
        trained = next(name for name in expected if name.startswith("after."))
        assert expected[trained] != expected[trained.replace("after.", "before.")]
        assert found == expected


def test_constants_stay_aligned_and_a_second_pass_changes_nothing(files: tuple[bytes, ExportedModel]) -> None:
    content = files[1].content
    model = schema.Model.GetRootAsModel(content, 0)
    for index in range(model.BuffersLength()):
        buffer = model.Buffers(index)
        if buffer.DataLength():
            assert buffer._tab.Vector(buffer._tab.Offset(4)) % 16 == 0
    assert _filled(content) == content


def test_a_kernel_of_zeros_stays() -> None:
    """An operator may want its kernel before it runs: a product with one that is computed is another, slower, path."""
    import tensorflow as tf

    class Product(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([4, 32], tf.float32)])
        def call(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"y": tf.matmul(x, tf.zeros([32, 32]) * tf.constant(1.0)) + x}

    module = Product()
    content = tf.lite.TFLiteConverter.from_concrete_functions([module.call.get_concrete_function()], module).convert()
    assert _zeros(content) == [4 * 32 * 32]
    assert _filled(content) == write(_parsed(content))
