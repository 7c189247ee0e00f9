"""From a graph to the bytes of a TensorFlow Lite file."""
