"""Batches that are ready before they are needed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count, islice
from typing import TypeVar

T = TypeVar("T")

AHEAD = 3
"""Steps whose batches are being made while one is taken."""


def made_ahead(make: Callable[[int], T], start: int, stop: int | None = None) -> Generator[T, None, None]:
    """What `make` gives for every step from `start` on, made in a background thread a few steps ahead."""
    steps = iter(range(start, stop)) if stop is not None else count(start)
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
        ahead: deque[Future[T]] = deque()
        try:
            ahead.extend(pool.submit(make, step) for step in islice(steps, AHEAD))
            while ahead:
                batch = ahead.popleft().result()
                ahead.extend(pool.submit(make, step) for step in islice(steps, 1))
                yield batch
        finally:
            pool.shutdown(cancel_futures=True)
