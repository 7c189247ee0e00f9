"""The device runner: numpy, a TensorFlow Lite runtime and the standard library, nothing else."""
