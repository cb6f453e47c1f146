"""TensorFlow's checkpoint files ("tensor bundles", version 2), read and written without TensorFlow."""
