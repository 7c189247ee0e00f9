# SPDX-License-Identifier: Apache-2.0
"""The file is written again in fewer bytes, and computes what it did, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema

from pocketrec.cloud.backbones import build_model
from pocketrec.cloud.config.export import ExportConfig
from pocketrec.cloud.config.model import GruOptions, ModelConfig
from pocketrec.device.contract import names as contract
from pocketrec.export.build import build_tflite
from pocketrec.export.file import convert
from pocketrec.export.file.shrink import shrink, write

ITEMS, WINDOW = 50, 3
CONFIG = ModelConfig(embedding=8, window=WINDOW, tables={"gru": GruOptions(hidden=12, layers=2)})


@pytest.fixture(scope="module", params=["partial", pytest.param("head", marks=pytest.mark.long)])
def files(request):
    """A file as the converter leaves it, and the same one shrunk."""
    raw = []

    def noted(content):
        raw.append(content)
        return shrink(content)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convert, "shrink", noted)
        patch.setattr(convert, "fill_zeros", lambda model: None)
        small = build_tflite(build_model(CONFIG, ITEMS, 1), CONFIG, ExportConfig(batch=3), way=request.param,
                             optimizer="adagrad", candidates=5).content  # fmt: skip
    return raw[0], small


def _outputs(content: bytes) -> dict[str, np.ndarray]:
    """What every signature gives, in an order in which each sees what the others left."""
    interpreter = tf.lite.Interpreter(model_content=content)
    rng = np.random.default_rng(2)
    found = {}
    for name in (*contract.SIGNATURES, contract.TRAIN, contract.EXPORT_WEIGHTS):
        runner = interpreter.get_signature_runner(name)
        inputs = {
            key: rng.integers(0, ITEMS, entry["shape"]).astype(np.int32) if entry["dtype"] == np.int32
            else rng.random(entry["shape"]).astype(np.float32)
            for key, entry in runner.get_input_details().items()
        }  # fmt: skip
        found |= {f"{len(found)} {name} {key}": np.array(value) for key, value in sorted(runner(**inputs).items())}
    return found


def test_every_signature_gives_the_same_bits(files):
    raw, small = (_outputs(content) for content in files)
    assert raw.keys() == small.keys()
    for name, value in raw.items():
        np.testing.assert_array_equal(value, small[name], err_msg=name)


def test_structure_takes_a_third_or_less(files):
    """What is not weights: names, empty buffers, and each signature's copy of the layers are gone."""

    def structure(content: bytes) -> int:
        model = schema.Model.GetRootAsModel(content, 0)
        return len(content) - sum(model.Buffers(index).DataLength() for index in range(model.BuffersLength()))

    raw, small = (structure(content) for content in files)
    assert small < raw / 3


def test_constants_stay_aligned(files):
    """The runtimes read constants in place, and the schema promises them 16-byte alignment."""
    model = schema.Model.GetRootAsModel(files[1], 0)
    for index in range(model.BuffersLength()):
        buffer = model.Buffers(index)
        if buffer.DataLength():
            assert buffer._tab.Vector(buffer._tab.Offset(4)) % 16 == 0


def test_shrinking_again_changes_nothing(files):
    assert write(shrink(files[1])) == files[1]


def in_order_of_use(model):
    """The file with its buffers in the order in which tensors use them: which of equal constants was kept, the first or
    the last, is no matter."""
    used = [tensor.buffer for subgraph in model.subgraphs for tensor in subgraph.tensors]
    order = list(dict.fromkeys([0, *used, *range(len(model.buffers))]))
    place = {old: new for new, old in enumerate(order)}
    model.buffers = [model.buffers[old] for old in order]
    for subgraph in model.subgraphs:
        for tensor in subgraph.tensors:
            tensor.buffer = place[tensor.buffer]
    for entry in model.metadata or []:
        entry.buffer = place[entry.buffer]
    return write(model)


@pytest.mark.long
def test_what_tensorflows_own_converter_makes_shrinks_to_the_same_file(monkeypatch):
    """It is called without what it does besides (`convert.converted`): the file must not depend on that."""
    theirs, called = [], convert.convert_saved_model

    def both(**arguments):
        converter = tf.lite.TFLiteConverter.from_saved_model(arguments["saved_model_dir"])
        converter.experimental_enable_resource_variables = True
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        theirs.append(converter.convert())
        return called(**arguments)

    monkeypatch.setattr(convert, "convert_saved_model", both)
    monkeypatch.setattr(convert, "fill_zeros", lambda model: None)
    made = build_tflite(build_model(CONFIG, ITEMS, 1), CONFIG, ExportConfig(batch=3), way="whole", optimizer="adam",
                        candidates=5)  # fmt: skip
    ours = schema.ModelT.InitFromObj(schema.Model.GetRootAs(made.content, 0))
    assert in_order_of_use(ours) == in_order_of_use(shrink(theirs[0]))
