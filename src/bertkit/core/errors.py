"""The error type for users' mistakes."""


class InputError(ValueError):
    """What the user gave cannot be used; the message names the value and the remedy in one line."""


class ResourceError(InputError):
    """Disk, memory, network or another process failed: what was done is kept, and the same call goes on from there."""


class MemoryLimitError(InputError):
    """The memory of a device does not hold what it would have to."""

    def __init__(self, device: str, what: str) -> None:
        super().__init__(
            f"the memory of the {device} device does not hold {what}: "
            "use a smaller --preset or --seq-length, or --activation-checkpointing"
        )


class RankInputError(InputError):
    """What one of several processes met while the others went on, so that it alone can say it."""
