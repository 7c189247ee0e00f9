# SPDX-License-Identifier: Apache-2.0
"""From a Keras model to a verified TensorFlow Lite bundle.

The public face: `build_tflite` (`pocketrec.export.build`) re-states the weights as a builtins-only graph and converts
it, `check` (`pocketrec.export.gate.gate`) refuses a file that does not behave as Keras does, `ExportedModel.save` keeps
it, and `publish` (`pocketrec.export.bundle.from_export`) writes the bundle that a static file server can offer.

The names are not re-exported here: `publish` must not bring TensorFlow in.
"""
