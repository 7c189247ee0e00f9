# SPDX-License-Identifier: Apache-2.0
"""From a graph to the bytes of a TensorFlow Lite file."""
