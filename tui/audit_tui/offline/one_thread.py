"""A thread of a log's own: what it reads, it reads there, one thing after another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from audit_stream.errors import ClientError

__all__ = ["OneThread"]

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
