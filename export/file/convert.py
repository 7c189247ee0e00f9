"""Conversion of a `PersonalGraph` to a TensorFlow Lite file, builtin ops only."""

from __future__ import annotations

import errno
import tempfile

import tensorflow as tf

from pocketrec.device.base.files import storage_error
from pocketrec.export.file.shrink import shrink
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
    """The graph as the bytes of a .tflite file with all its signatures.

    Raises:
        StorageError: the folder for temporary files is full or cannot be written.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            tf.saved_model.save(graph, folder, signatures=graph.signatures())
        except _NO_ROOM as error:
            raise storage_error(folder, OSError(errno.ENOSPC, error.message.splitlines()[0])) from None
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=None)
        converter.experimental_enable_resource_variables = True
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        content: bytes = converter.convert()
        return fill_zeros(shrink(content))
