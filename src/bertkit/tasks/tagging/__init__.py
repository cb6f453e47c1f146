"""Tags for the words of a text, and the entities that they mean: the kind `tagging` is in `task.py`."""
