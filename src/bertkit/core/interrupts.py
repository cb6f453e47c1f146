"""Ctrl-C, and SIGTERM, which schedulers, `timeout` and `docker stop` send: both end a command alike."""

from __future__ import annotations

import signal
import sys
import threading
import time
from types import FrameType, TracebackType
from typing import Any

_AGAIN_SECONDS = 2.0
"""In which another signal is the same one: `timeout` and many schedulers send theirs twice."""
_CHECK_SECONDS = 0.5


class Terminated(KeyboardInterrupt):
    """SIGTERM, as `KeyboardInterrupt` is SIGINT."""


class Interrupts:
    """While it is entered, in the main thread, SIGINT and SIGTERM raise `KeyboardInterrupt` and `Terminated`.

    What is raised between two instructions may be swallowed, by a finalizer, a callback or a library's own iterator: it
    is raised again until it is on its way. What a program does on that way is left in peace.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        """The number of the signal that came first."""
        self._since = 0.0
        self._raised: KeyboardInterrupt | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            handlers = {signal.SIGINT: self._receive, signal.SIGTERM: self._receive, signal.SIGALRM: self._check}
            self._before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
            self._hook, sys.unraisablehook = sys.unraisablehook, self._swallowed
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before:
            signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in self._before.items():
                signal.signal(number, handler)  # type: ignore[arg-type]
            self._before = {}
            sys.unraisablehook = self._hook

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None and time.monotonic() < self._since + _AGAIN_SECONDS:
            return
        self.received = self.received or number
        self._since = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, _CHECK_SECONDS, _CHECK_SECONDS)
        self._raise()

    def _swallowed(self, lost: Any) -> None:
        if not isinstance(lost.exc_value, KeyboardInterrupt):  # of which nothing needs to be printed: it comes again
            self._hook(lost)

    def _check(self, number: int, frame: FrameType | None) -> None:
        error: BaseException | None = sys.exception()
        while error is not None:
            if error is self._raised:
                return
            error = error.__context__
        self._raise()

    def _raise(self) -> None:
        self._raised = Terminated() if self.received == signal.SIGTERM else KeyboardInterrupt()
        raise self._raised
