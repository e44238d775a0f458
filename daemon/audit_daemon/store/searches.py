"""Searches take turns: a few threads for all of them, so that a long one keeps nobody waiting.

A search is whatever must look at many events: it runs for TURN_S, then the next one's turn comes. So of twelve that
read a gigabyte each gets on, and a short one does not wait for the end of a long one. Searches of streams, of which
there may be hundreds, stand in a line of their own; the two lines get every other turn.

Reads that cost no more than they return use other threads (`sqlite.py`) and wait for no search.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import monotonic
from typing import Protocol

from audit_stream.filters import register
from audit_stream.logfile.errors import SearchStopped
from audit_stream.logfile.query import Page

__all__ = ["DEADLINE_S", "MAX_SEARCHES", "TURN_S", "Searches", "SearchesBusy", "Stoppable", "shut_down"]

_THREADS = 2
TURN_S = 0.05
"""How long a search runs at a time: with twelve on two threads each comes up three times a second."""

DEADLINE_S = 30.0
"""When a search is given up, counted from its arrival: a filter can be written to take for ever."""

MAX_SEARCHES = 64
"""Searches that are answered at a time, those of streams apart: of more, none would end before its deadline."""

_STEPS_BETWEEN_LOOKS = 1_000

_CLOSE_S = 1.5
"""What a job that is told to end may take: it looks every millisecond, unless the disk does not answer."""


class SearchesBusy(SearchStopped):
    """Too many searches are under way; this one has not begun."""


class Stoppable(Protocol):
    """A search in steps; `logfile.search.Search` is one."""

    @property
    def is_divisible(self) -> bool:
        """Whether the statement that runs now may be interrupted: the search goes on with less at a time."""

    @property
    def page(self) -> Page:
        """What has been found so far."""

    def step(self, connection: sqlite3.Connection, is_over: Callable[[], bool]) -> bool:
        """Search until `is_over()`. True when nothing is left to do."""


class _Reader:
    """A thread's connection, whose statements end as interrupted when `is_over` says so."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.is_over: Callable[[], bool] = lambda: False
        register(connection, lambda: self.is_over())  # the exact test of a filter's terms
        connection.set_progress_handler(lambda: self.is_over(), _STEPS_BETWEEN_LOOKS)


class _Turns:
    """A search's place in its line. The future is done once its caller has an answer, or needs none any more."""

    __slots__ = ("future", "once", "search")

    def __init__(self, search: Stoppable, future: asyncio.Future[None], *, once: bool) -> None:
        self.search = search
        self.future = future
        self.once = once


class Searches:
    """The threads that searches share. Of the event loop's thread, but for `_step`."""

    def __init__(
        self,
        open_reader: Callable[[], sqlite3.Connection],
        *,
        threads: int = _THREADS,
        turn_s: float | None = None,
        deadline_s: float | None = None,
    ) -> None:
        self._open_reader = open_reader
        self._turn_s = TURN_S if turn_s is None else turn_s
        self._deadline_s = DEADLINE_S if deadline_s is None else deadline_s
        self._idle = threads
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="search")
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._closing = False
        self._lines: tuple[deque[_Turns], deque[_Turns]] = (deque(), deque())  # of requests, of streams
        self._is_streams_turn = False
        self._requests = 0

    async def find(self, search: Stoppable) -> Page:
        """All that a search finds. Raises SearchesBusy, or SearchStopped after DEADLINE_S or when the store closes."""
        if self._requests >= MAX_SEARCHES:
            raise SearchesBusy(f"{MAX_SEARCHES} searches are under way already: ask again in some seconds")
        self._requests += 1
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._take_turns(search, once=False)
        except TimeoutError:
            raise SearchStopped(
                f"the search was given up after {self._deadline_s:g} s: narrow it by kind, source, id or time"
            ) from None
        finally:
            self._requests -= 1
        return search.page

    async def get_on(self, search: Stoppable) -> Page:
        """What a search finds in one turn, or in as many as it takes to get on at all. For streams: without deadline.

        Raises SearchStopped when the store closes.
        """
        began = search.page.reached
        while True:
            await self._take_turns(search, once=True)
            page = search.page
            if not page.more or page.reached != began:
                return page

    def reopen(self) -> None:
        """Read with new connections from now on; a turn under way ends with its own."""
        self._local = threading.local()

    async def close(self) -> bool:
        """End all searches. False when the disk does not answer one of them."""
        self._closing = True
        for line in self._lines:
            for turns in line:
                _fail(turns, SearchStopped("the daemon is stopping"))
        if not await shut_down(self._threads):
            return False
        for connection in self._opened:
            connection.close()
        return True

    async def _take_turns(self, search: Stoppable, *, once: bool) -> None:
        if self._closing:
            raise SearchStopped("the daemon is stopping")
        turns = _Turns(search, asyncio.get_running_loop().create_future(), once=once)
        self._lines[once].append(turns)
        self._go_on()
        await turns.future  # a caller that is cancelled cancels it

    def _go_on(self) -> None:
        """Give every idle thread the next search whose caller still waits."""
        while self._idle and not self._closing and (turns := self._next()) is not None:
            try:
                stepping = turns.future.get_loop().run_in_executor(self._threads, self._step, turns)
            except RuntimeError as error:  # no thread can be started now
                _fail(turns, error)
                continue
            self._idle -= 1
            stepping.add_done_callback(partial(self._stepped, turns))

    def _next(self) -> _Turns | None:
        for _ in self._lines:
            self._is_streams_turn = not self._is_streams_turn
            line = self._lines[self._is_streams_turn]
            while line:
                turns = line.popleft()
                if not turns.future.done():
                    return turns
        return None

    def _stepped(self, turns: _Turns, stepped: asyncio.Future[bool]) -> None:
        self._idle += 1
        error = SearchStopped("the daemon is stopping") if stepped.cancelled() else stepped.exception()
        if error is not None:
            _fail(turns, SearchStopped("the daemon is stopping") if self._closing else error)
        elif turns.future.done():
            pass
        elif self._closing:
            _fail(turns, SearchStopped("the daemon is stopping"))
        elif stepped.result() or turns.once:
            turns.future.set_result(None)
        else:
            self._lines[turns.once].append(turns)
        self._go_on()

    def _step(self, turns: _Turns) -> bool:
        """One turn, in a thread. True when the search is done."""
        reader: _Reader | None = getattr(self._local, "reader", None)
        if reader is None:
            reader = self._local.reader = _Reader(self._open_reader())
            self._opened.append(reader.connection)
        search, future = turns.search, turns.future
        ends = monotonic() + self._turn_s

        def is_unwanted() -> bool:
            return self._closing or future.done()

        def is_over() -> bool:
            return is_unwanted() or monotonic() > ends

        reader.is_over = lambda: is_over() if search.is_divisible else is_unwanted()
        return search.step(reader.connection, is_over)


async def shut_down(threads: ThreadPoolExecutor) -> bool:
    """Wait for the jobs that are running, the others are cancelled. False when they do not end: the disk hangs."""
    waiting = threading.Thread(target=threads.shutdown, kwargs={"cancel_futures": True}, daemon=True)
    waiting.start()
    await asyncio.to_thread(waiting.join, _CLOSE_S)
    return not waiting.is_alive()


def _fail(turns: _Turns, error: BaseException) -> None:
    if not turns.future.done():
        turns.future.set_exception(error)
