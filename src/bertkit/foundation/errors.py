"""The one error type for users' mistakes."""


class InputError(ValueError):
    """What the user gave cannot be used; the message names the value and the remedy in one line."""
