# SPDX-License-Identifier: Apache-2.0
"""Conversion of a `PersonalGraph` to a TensorFlow Lite file, builtin ops only."""

from __future__ import annotations

import errno
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import tensorflow as tf
from tensorflow.lite.python.convert import convert_saved_model

from pocketrec.device.base.files import storage_error
from pocketrec.export.file.shrink import shrink, write
from pocketrec.export.file.zeros import fill_zeros
from pocketrec.export.graph.graph import PersonalGraph

#: What TensorFlow makes of a file that cannot be written.
_NO_ROOM = (
    tf.errors.ResourceExhaustedError,
    tf.errors.PermissionDeniedError,
    tf.errors.OutOfRangeError,
    tf.errors.FailedPreconditionError,
)


def convert(graph: PersonalGraph) -> bytes:
    """The graph as the bytes of a .tflite file with all its signatures, small and without constants of zeros.

    Raises:
        StorageError: the folder for temporary files is full or cannot be written.
    """
    model = shrink(converted(graph, graph.signatures()))
    fill_zeros(model)
    return write(model)


def converted(module: tf.Module, signatures: Mapping[str, tf.types.experimental.ConcreteFunction]) -> bytes:
    """A module as the converter leaves it.

    What ``tf.lite.TFLiteConverter`` does besides takes as long again, in Python: it loads the saved model twice, and
    reads and writes the file twice to merge equal constants and to add metadata. `shrink` does the one and drops the
    other, so the converter is called without, with the arguments that it has there.

    Args:
        module: with the variables.
        signatures: its functions, by signature name.

    Raises:
        StorageError: the folder for temporary files is full or cannot be written.
    """
    with tempfile.TemporaryDirectory() as folder, _no_bytecode():
        try:
            tf.saved_model.save(module, folder, signatures=dict(signatures))
        except _NO_ROOM as error:
            raise storage_error(folder, OSError(errno.ENOSPC, error.message.splitlines()[0])) from None
        content: bytes = convert_saved_model(
            saved_model_dir=folder,
            saved_model_version=1,
            saved_model_tags=[tf.saved_model.SERVING],
            saved_model_exported_names=list(signatures),
            target_ops=[tf.lite.OpsSet.TFLITE_BUILTINS],
            enable_tflite_resource_variables=True,
        )
        return content


@contextmanager
def _no_bytecode() -> Iterator[None]:
    """TensorFlow removes the code that it generates in the folder for temporary files, but not its bytecode."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before
