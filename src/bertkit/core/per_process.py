"""Values that hold threads: made when first asked for, and made again in a forked child, which has no threads."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class PerProcess(Generic[Key, Value]):
    """What `make` gives for each key, once a process, whichever thread asks first."""

    def __init__(self, make: Callable[[Key], Value]) -> None:
        self._make = make
        # By process, for a lock that a thread of the parent held while it forked stays locked in the child.
        self._made: dict[int, dict[Key, Value]] = {}
        self._locks: dict[int, threading.Lock] = {}

    def get(self, key: Key) -> Value:
        """This process's value."""
        process = os.getpid()
        made = self._made.get(process)
        if made is None:
            self._leave_parents()
            made = self._made.setdefault(process, {})
        if key not in made:
            with self._locks.setdefault(process, threading.Lock()):
                if key not in made:
                    made[key] = self._make(key)
        return made[key]

    def _leave_parents(self) -> None:
        """Never delete what a parent made: that would wait for threads that do not exist here."""
        for made in list(self._made.values()):
            for value in made.values():
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(value))
