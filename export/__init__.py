"""From a Keras model to a verified TensorFlow Lite bundle."""
