"""Questions that a text answers or does not: the kind `span-extraction` is in `task.py`."""
