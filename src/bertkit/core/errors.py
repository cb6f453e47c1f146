"""What can go wrong, by what the caller may do about it.

    BertkitError                     every error that bertkit raises on purpose
    ├── InputError (a ValueError)    exit 2: a value cannot be used; change it, the message says how
    ├── ResourceError                exit 3: memory, disk, network or another process failed; try again or elsewhere
    │   ├── MemoryLimitError         the memory of a device is too small
    │   └── RankError                one of several processes failed while the others went on
    └── DivergedError                exit 4: training diverged; start again with other options

The command line prints the message as one line and exits with the error's code. It exits with 130 after
Ctrl-C, with 143 after SIGTERM, and with 1 and a traceback only where bertkit itself has a bug.
"""

from __future__ import annotations

from typing import ClassVar, Self


class BertkitError(Exception):
    """An error that bertkit raises on purpose; its message is one line that names the value and the remedy."""

    exit_code: ClassVar[int] = 1
    """Of a process that this error ends; a kind of error has a code of its own."""

    @staticmethod
    def of(exit_code: int, message: str) -> BertkitError | None:
        """The error with which another process ended; None where its exit code is no kind of error's."""
        kinds = {kind.exit_code: kind for kind in (InputError, ResourceError, DivergedError)}
        return kinds[exit_code](message) if exit_code in kinds else None


class InputError(BertkitError, ValueError):
    """What the user gave cannot be used; the message names the value and the remedy."""

    exit_code = 2


def not_finite(place: str) -> InputError:
    """The error of a model whose output for the text at `place` is NaN or infinite."""
    return InputError(
        f"{place}: the model's output is not finite: its weights or its config.json are damaged, or training diverged; "
        "take another copy of the model"
    )


class ResourceError(BertkitError):
    """Memory, disk, network or another process failed: the same call may succeed later, or on another machine.

    What was done is kept, and the same call resumes there.
    """

    exit_code = 3


_SAY_FULL_MEMORY = (
    *("allocate memory", "not enough memory", "Cannot allocate", "failed to map segment", "can't start new thread"),
    "error return without exception set",  # of a library in C that ran out of it
    "could not create a primitive",  # of oneDNN, for shapes that it takes otherwise
)


def says_full_memory(error: Exception) -> bool:
    """Whether an error of Python or of a library means that the machine has no memory left."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in _SAY_FULL_MEMORY)


class MemoryLimitError(ResourceError):
    """The memory of a device does not hold what it would have to."""

    @classmethod
    def on(cls, device: str, what: str) -> Self:
        """The error of a device of this type that does not hold `what`."""
        return cls(
            f"the memory of the {device} device does not hold {what}: "
            "use a smaller --preset or --seq-length, or --activation-checkpointing"
        )


class RankError(ResourceError):
    """What one of several processes met while the others went on, so that it alone can report it."""


class DivergedError(BertkitError):
    """Training diverged: losses or gradients are no longer finite."""

    exit_code = 4
