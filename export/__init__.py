"""From a Keras model to a verified TensorFlow Lite bundle.

`build_tflite` re-states the weights as a builtins-only graph and converts it, `check` is the gate that refuses to
publish a file that does not behave, and `write_bundle` writes what a static file server publishes.
"""

from pocketrec.export.build import ExportedModel, build_tflite

__all__ = ["ExportedModel", "build_tflite"]
