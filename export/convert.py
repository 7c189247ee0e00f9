"""Conversion of a `PersonalGraph` to a TensorFlow Lite file, builtin ops only."""

from __future__ import annotations

import tempfile

import tensorflow as tf

from pocketrec.export.graph import PersonalGraph


def convert(graph: PersonalGraph) -> bytes:
    """The graph as the bytes of a .tflite file with all its signatures."""
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(graph, folder, signatures=graph.signatures())
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=None)
        converter.experimental_enable_resource_variables = True
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        content: bytes = converter.convert()
        return content
