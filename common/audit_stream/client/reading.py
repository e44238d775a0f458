"""Async generators that may be left at any event: by `break`, by an exception, by forgetting them.

Python closes a generator that is left behind in a task of its own, some time later, and at the end of a loop all of
them at once, the inner ones while the outer ones still use them: tracebacks on stderr, connections that stay open.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["Readings"]

T = TypeVar("T")


class Readings:
    """The generators that a client has given out, which live as long as it or until they are closed."""

    def __init__(self) -> None:
        self._open: set[AsyncGenerator[Any]] = set()
        self._closing: set[asyncio.Task[None]] = set()

    def begin(self, items: AsyncGenerator[T]) -> AsyncGenerator[T]:
        """The same items; closed soon when nobody holds them any more, and by `close`."""
        self._open.add(items)
        return _Reading(items, self._left)

    async def close(self) -> None:
        """End all of them. One that another task waits on is left to it."""
        for items in list(self._open):
            with contextlib.suppress(RuntimeError):  # it runs: whoever runs it will hear of it
                await items.aclose()
        while self._closing:
            await asyncio.wait(self._closing)

    def _left(self, items: AsyncGenerator[Any], loop: asyncio.AbstractEventLoop | None) -> None:
        """Nobody holds the items any more; they were read in this loop, if at all."""
        self._open.discard(items)
        if loop is not None and asyncio._get_running_loop() is loop:
            task = loop.create_task(_closed(items))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


class _Reading(AsyncGenerator[T, None]):
    """A generator's items; says when it is left behind."""

    def __init__(
        self,
        items: AsyncGenerator[T],
        left: Callable[[AsyncGenerator[T], asyncio.AbstractEventLoop | None], None],
    ) -> None:
        self._items = items
        self._left = left
        self._loop: asyncio.AbstractEventLoop | None = None

    def __anext__(self) -> Coroutine[Any, Any, T]:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._items.__anext__()

    def asend(self, value: None) -> Coroutine[Any, Any, T]:
        return self._items.asend(value)

    def athrow(self, typ: Any, val: Any = None, tb: Any = None) -> Coroutine[Any, Any, T]:
        return self._items.athrow(typ, val, tb)

    def aclose(self) -> Coroutine[Any, Any, None]:
        return self._items.aclose()

    def __del__(self) -> None:
        self._left(self._items, self._loop)


async def _closed(items: AsyncGenerator[Any]) -> None:
    with contextlib.suppress(Exception):
        await items.aclose()
