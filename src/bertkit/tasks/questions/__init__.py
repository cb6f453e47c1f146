"""Questions that a text answers."""
