"""The demo: the whole path on text that every Python carries."""
