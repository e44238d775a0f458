"""How a file is read: on a thread of its own, one thing after another, and answered as a daemon answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

from audit_stream.client import EVERYTHING, RawEvent, Selection
from audit_stream.errors import ClientError, TimestampError
from audit_stream.logfile.query import MAX_ID, Criteria, criteria_of
from audit_stream.wire import DEFAULT_PAGE_EVENTS

__all__ = ["STEP_EVENTS", "OneThread", "Steps", "checked_criteria", "in_steps"]

STEP_EVENTS = 500
"""Read at a time, so that other questions are answered between two steps of a long search."""

T = TypeVar("T")


class OneThread:
    """Belongs to an event loop, which it never blocks. `path` is the file that is spoken of."""

    def __init__(self, path: Path, *, name: str) -> None:
        self._path = path
        self._pool: ThreadPoolExecutor | None = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def run(self, work: Callable[[], T]) -> T:
        """Do it there. Raises ClientError once it has been ended, and for an OSError of the work."""
        if self._pool is None:
            raise ClientError(f"{self._path} was closed")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        except OSError as error:
            raise ClientError(f"cannot read {self._path}: {error.strerror}") from None

    async def end(self, last: Callable[[], None] | None = None) -> None:
        """No more after what is being done, and after `last`, which is waited for. A second call does nothing."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        if last is not None:
            await asyncio.get_running_loop().run_in_executor(pool, last)
        pool.shutdown(wait=False)


def checked_criteria(selection: Selection) -> Criteria:
    """What an event must be like. Relative times count from now.

    Raises ClientError with the status and nearly the words with which a daemon refuses.
    """
    if selection == EVERYTHING:
        return Criteria()
    from audit_stream.filters import FilterError  # 30 ms to import: not before the first page

    try:
        return criteria_of(selection)
    except FilterError as error:
        raise ClientError(f"q, at position {error.position}: {error.message}", status=400) from None
    except TimestampError as error:
        raise ClientError(f"since or until: {error}", status=400) from None


class Steps(Protocol):
    """Reads the events with ids in [low, high] that fit, at most `limit`, a step at a time."""

    def __call__(self, low: int, high: int, *, forward: bool, limit: int | None) -> AsyncGenerator[list[RawEvent]]:
        """From the oldest on when `forward`, otherwise from the newest."""


async def in_steps(
    read: Steps, *, limit: int | None, since_id: int | None, before_id: int | None, newest_first: bool
) -> AsyncGenerator[RawEvent]:
    """Events as `Client.events` gives them."""
    recent = since_id is None and not newest_first  # read from the newest on, answered oldest first
    if recent and limit is None:
        limit = DEFAULT_PAGE_EVENTS
    found: list[RawEvent] = []
    low, high = (since_id or 0) + 1, MAX_ID if before_id is None else before_id - 1
    async with contextlib.aclosing(read(low, high, forward=not recent and not newest_first, limit=limit)) as steps:
        async for step in steps:
            if recent:
                found += step
                continue
            for event in step:
                yield event
    for event in reversed(found):
        yield event
