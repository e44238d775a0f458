"""What moving through the history does while memory is still looked through."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise

from textual.message import Message
from textual.screen import Screen

from audit_tui.clock import Clock
from audit_tui.controllers.history import HistoryController
from audit_tui.controllers.host import Host
from audit_tui.model.ring import Ring
from audit_tui.session import Session
from audit_tui.widgets.event_table import EventTable
from tests.tui.fake_log import make_log

SLICES = 128
SLICE_S = 1 / 64
"""Exact in binary, so that sums of it are."""


class Table(EventTable):
    """Keeps what it says instead of sending it."""

    def __init__(self, session: Session) -> None:
        self.said: list[Message] = []
        super().__init__(session.view, now_ms=session.clock.now_ms)

    def post_message(self, message: Message) -> bool:
        self.said.append(message)
        return True


class Memory:
    """A memory that takes two seconds to look through, in which nothing passes the filter."""

    def __init__(self, during: Callable[[HistoryController], None] = lambda history: None) -> None:
        self.now_s = 0.0
        self.slices = 0
        self.drawn_s: list[float] = []
        session = Session(make_log(0), clock=Clock(now_s=lambda: self.now_s, now_ms=lambda: 0))
        session.view.look_back = self._look_back  # type: ignore[method-assign]
        self._during = during
        self.table = Table(session)
        host = Host(Screen(), lambda: self.drawn_s.append(self.now_s))
        self.history = HistoryController(session, self.table, host)

    def _look_back(self, ring: Ring) -> bool:
        self.slices += 1
        self.now_s += SLICE_S
        self._during(self.history)
        return self.slices % SLICES != 0

    def look_through(self) -> None:
        asyncio.run(self.history.look_through_memory())

    @property
    def older_wanted(self) -> int:
        return sum(isinstance(message, EventTable.OlderWanted) for message in self.table.said)


def test_older_events_that_are_wanted_meanwhile_are_asked_for_once_memory_has_been_looked_through() -> None:
    wanted: list[int] = []

    def want_older(history: HistoryController) -> None:
        wanted.append(memory.older_wanted)
        history.load_older()

    memory = Memory(want_older)
    memory.look_through()
    assert wanted == [0] * SLICES
    assert memory.older_wanted == 1


def test_older_events_are_not_asked_for_when_nobody_wants_them() -> None:
    memory = Memory(lambda history: history.load_older() if memory.slices == 1 else None)
    memory.look_through()
    assert memory.older_wanted == 1
    memory.look_through()
    assert memory.slices == 2 * SLICES
    assert memory.older_wanted == 1


def test_how_far_memory_was_looked_through_is_drawn_ten_times_a_second_at_most() -> None:
    memory = Memory()
    memory.look_through()
    *meanwhile, at_the_end = memory.drawn_s
    assert meanwhile[0] == SLICE_S
    assert all(0.1 <= later - earlier < 0.1 + SLICE_S for earlier, later in pairwise(meanwhile))
    assert at_the_end == SLICES * SLICE_S
    assert at_the_end - meanwhile[-1] < 0.1 + SLICE_S
