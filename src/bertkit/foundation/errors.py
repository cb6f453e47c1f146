"""The error type for users' mistakes."""


class InputError(ValueError):
    """What the user gave cannot be used; the message names the value and the remedy in one line."""


class LoneInputError(InputError):
    """What one of several processes met while the others went on, so that it alone can say it."""
