"""The window on the log under any sequence of what may happen to it: it is what the log gives for the same filter."""

from __future__ import annotations

import asyncio
import contextlib
import types
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from audit_stream.client import EVERYTHING, RawEvent, Selection
from audit_stream.errors import ClientError
from audit_stream.kinds import DEFAULT_KINDS
from audit_tui import pages as pages_module
from audit_tui.model.part import first_id, last_id
from audit_tui.model.passing import everything
from audit_tui.model.ring import Ring
from audit_tui.model.rows import Gap, Row, read_row
from audit_tui.model.view import View
from audit_tui.pages import Pages
from tests.tui.fake_log import chained, make_log

HISTORIES = [
    make_log(120).raw,
    list(chained(("other" if i % 5 else "request_denied", f"source-{i % 3}", {"n": i}) for i in range(120))),
]
KINDS = ("", "request_denied", "other", "no_such_kind")
"""Of which a filter is made: none, and one that many, that few and that no events pass."""


Known = tuple[int, str, bytes]
_KNOWN: list[list[Known]] = [
    [(row.event_id, row.kind, row.raw) for row in (read_row(RawEvent(raw), DEFAULT_KINDS) for raw in history)]
    for history in HISTORIES
]
AWAY: dict[str, Callable[[int], bool]] = {
    "none": lambda event_id: False,
    "few": lambda event_id: event_id % 7 == 0,
    "pages": lambda event_id: 20 < event_id <= 60,
    "first": lambda event_id: event_id <= 12,
    "most": lambda event_id: event_id % 11 != 0,
}
"""Which events the log has no more, as a filtered export, or has and nobody can read."""


class ListLog:
    """Answers of the first `stored` events of a history: at once, or `in_steps` when it is gone on with."""

    def __init__(self, removed: Callable[[int], bool]) -> None:
        self.url = "http://list.test"
        self.history = 0
        self.stored = 0
        self.in_steps = False
        self.fails = False
        self._removed = removed

    @property
    def length(self) -> int:
        return len(_KNOWN[self.history])

    def find(self, kind: str = "", low: int = 1, high: int = 1_000_000) -> list[Known]:
        held = _KNOWN[self.history][low - 1 : min(high, self.stored)]
        return [each for each in held if kind in ("", each[1]) and not self._removed(each[0])]

    async def events(
        self,
        selection: Selection = EVERYTHING,
        *,
        limit: int | None = None,
        since_id: int | None = None,
        before_id: int = 1_000_000,
        newest_first: bool = False,
    ) -> AsyncGenerator[RawEvent]:
        if self.in_steps:
            await next_step()
        if self.fails:
            raise ClientError("no daemon answers")
        found = self.find(selection.q.removeprefix("kind:"), (since_id or 0) + 1, before_id - 1)
        for _, _, raw in (found[::-1] if newest_first else found)[:limit]:
            yield RawEvent(raw)


@types.coroutine
def next_step() -> Generator[None, None, None]:
    """Come back when whoever steps the coroutine says so."""
    yield


def goes_on(reading: Coroutine[Any, Any, None]) -> bool:
    """Let a coroutine come to its next question; False at its end."""
    try:
        reading.send(None)
    except (StopIteration, ClientError):
        return False
    return True


def cancel(reading: Coroutine[Any, Any, None]) -> None:
    """End a coroutine as asyncio does."""
    with contextlib.suppress(asyncio.CancelledError):
        reading.throw(asyncio.CancelledError())


class Window(RuleBasedStateMachine):
    """Ring, window and pages under a log that grows, is missed in parts, or is replaced; answers come when they like.

    Every bound is a few events, so that each is met, passed, and passed ten times.
    """

    @initialize(
        ring_rows=st.sampled_from([1, 3, 10, 40]),
        max_rows=st.sampled_from([12, 40]),
        history_rows=st.sampled_from([12, 40]),
        max_bytes=st.sampled_from([4_000, 1 << 20]),
        page=st.sampled_from([1, 2, 5]),
        page_bytes=st.sampled_from([1, 1_000]),
        reach=st.sampled_from([1, 4, 30]),
        stored=st.sampled_from([0, 50, 50, 50]),
        removed=st.sampled_from(["none", "none", *AWAY]),
        unreadable=st.sampled_from(["none", "none", *AWAY]),
    )
    def begin(
        self,
        ring_rows: int,
        max_rows: int,
        history_rows: int,
        max_bytes: int,
        page: int,
        page_bytes: int,
        reach: int,
        stored: int,
        removed: str,
        unreadable: str,
    ) -> None:
        self.log = ListLog(AWAY[removed])
        self.unreadable = AWAY[unreadable]
        self.ring = Ring(max_rows=ring_rows, max_bytes=max_bytes)
        self.view = View(
            max_rows=max_rows,
            max_bytes=max_bytes,
            history_rows=history_rows,
            history_bytes=max_bytes,
            slice_rows=page,
        )
        pages_module.PAGE, pages_module.PAGE_BYTES, pages_module._FIRST_REACH = page, page_bytes, reach
        self.pages = Pages(self.log, self.ring, self.view, self.read)  # type: ignore[arg-type]  # all of a Log that is asked
        self.kind = ""
        self.waiting = 0
        self.most = max(max_rows, history_rows, ring_rows) + 2 * page + 2
        self.readings: list[Coroutine[Any, Any, None]] = []
        self.receive(stored, missed=0, in_one_answer=True)

    def read(self, served: RawEvent) -> Row | None:
        row = read_row(served, DEFAULT_KINDS)
        return None if self.unreadable(row.event_id) else row

    def find(self, kind: str = "", low: int = 1, high: int = 1_000_000) -> list[Known]:
        """What the log gives and can be read."""
        return [each for each in self.log.find(kind, low, high) if not self.unreadable(each[0])]

    @rule(count=st.integers(1, 12), missed=st.sampled_from([0, 0, 0, 1, 8]), in_one_answer=st.booleans())
    def receive(self, count: int, missed: int, in_one_answer: bool) -> None:
        """After some that the log has, and that the stream has not brought and never will."""
        first = self.log.stored + missed + 1
        self.log.stored = min(self.log.length, first + count - 1)
        new, follows = [], False
        for _, _, raw in self.log.find(low=first):
            row = self.read(RawEvent(raw))
            if row is None:
                follows = False
                continue
            row.follows, follows = follows, in_one_answer
            if self.ring.add(row):
                new.append(row)
        if not self.view.following:
            self.waiting += sum(self.kind in ("", row.kind) for row in new)
        self.view.grow(new)

    @rule(kind=st.sampled_from(KINDS))
    def filter_by(self, kind: str) -> None:
        self.kind = kind
        query = f"kind:{kind}" if kind else ""
        passes = (lambda row: row.kind == kind) if kind else everything
        self.view.filter_by(self.ring, passes, query=query, filtered=bool(kind))

    @rule(way=st.sampled_from(["pause", "live", "live", "another history"]))
    def turn(self, way: str) -> None:
        if way == "pause":
            self.waiting = 0 if self.view.following else self.waiting
            self.view.pause()
        elif way == "live" and self.view.attached:
            self.view.resume()
        elif way == "live":
            self.view.begin(self.ring)
        else:  # as after a daemon's log was replaced; another daemon is the same to a window
            self.log.history, self.log.stored = 1 - self.log.history, 0
            self.ring.part_with()
            self.view.begin(self.ring)

    @rule(way=st.sampled_from(["look back", "page up", "page up", "page down"]))
    def move(self, way: str) -> None:
        if way == "look back":
            self.view.look_back(self.ring)
        else:
            self.at_once(self.pages.load_older() if way == "page up" else self.pages.load_newer())

    @rule(event_id=st.integers(1, 130))
    def jump(self, event_id: int) -> None:
        live = self.view.live
        self.at_once(self.pages.show_around(event_id))
        if event_id <= live:
            assert self.view.low <= event_id
            items = [item for item in self.view.items if last_id(item) >= event_id]
            if not items or isinstance(items[0], Row):  # and no gap, which is as much a place
                assert [first_id(item) for item in items][:1] == [
                    found for found, _, _ in self.find(self.kind, event_id, live)
                ][:1]
        self.waiting = 0

    def at_once(self, reading: Coroutine[Any, Any, None]) -> None:
        """Read what the log answers without waiting."""
        assert not goes_on(reading)

    @rule(what=st.sampled_from(["older", "older", "newer", "gap", "around"]), event_id=st.integers(1, 130))
    def ask(self, what: str, event_id: int) -> None:
        """Begin to read; whatever may happen comes between this and the answers."""
        match what:
            case "older":
                reading = self.pages.load_older()
            case "newer":
                reading = self.pages.load_newer()
            case "around":
                reading = self.pages.show_around(event_id)
            case _:
                gaps = [item for item in self.view.items if isinstance(item, Gap)]
                if not gaps:
                    return
                reading = self.pages.load_gap(gaps[event_id % len(gaps)])
        self.readings.append(reading)
        self._go_on_with(reading)

    @rule(
        what=st.sampled_from(["older", "newer", "gap"]),
        event_id=st.integers(1, 130),
        kind=st.sampled_from(KINDS),
        way=st.sampled_from(["filter", "live", "jump"]),
    )
    def overtake(self, what: str, event_id: int, kind: str, way: str) -> None:
        """What was read for a window comes when there is another one, which may have come to the same place."""
        at = self.view.low
        self.ask(what, event_id)
        if way == "filter":
            self.filter_by(kind)
        elif way == "live":
            self.turn("live")
        else:
            self.jump(at)
        while self.view.low > at and self.view.look_back(self.ring):
            pass
        while self.readings:
            self.answer(0, fails=False)

    @precondition(lambda self: self.readings)
    @rule(which=st.integers(0, 5), fails=st.sampled_from([False, False, False, True]))
    def answer(self, which: int, fails: bool) -> None:
        self._go_on_with(self.readings[which % len(self.readings)], fails=fails)

    @precondition(lambda self: self.readings)
    @rule(which=st.integers(0, 5))
    def give_up(self, which: int) -> None:
        """As when another filter is set, or somebody stops it."""
        cancel(self.readings.pop(which % len(self.readings)))

    def _go_on_with(self, reading: Coroutine[Any, Any, None], *, fails: bool = False) -> None:
        shown = self.view.beginning
        self.log.in_steps, self.log.fails = True, fails
        if not goes_on(reading):
            self.readings.remove(reading)
        self.log.in_steps = self.log.fails = False
        if self.view.beginning != shown:
            self.waiting = 0

    # What always holds

    @invariant()
    def it_is_what_the_log_gives_from_its_first_to_its_last_event(self) -> None:
        view, items = self.view, list(self.view.items)
        assert 1 <= view.low <= view.high + 1 <= view.live + 1
        at = view.low
        for item in items:
            assert first_id(item) >= at
            at = last_id(item) + 1
        assert at <= view.high + 1
        unknown = {n for item in items if isinstance(item, Gap) for n in range(item.first, item.last + 1)}
        of_log = self.find(self.kind, view.low, view.high)
        passing = [raw for event_id, _, raw in of_log if event_id not in unknown]
        assert [item.raw for item in items if isinstance(item, Row)] == passing
        assert not view.filtered or not [item for item in items if isinstance(item, Gap) and item.absent]

    @invariant()
    def its_counts_are_true(self) -> None:
        view, rows = self.view, [item for item in self.view.items if isinstance(item, Row)]
        gaps = [item for item in self.view.items if isinstance(item, Gap)]
        assert view.row_count == len(rows)
        assert view._bytes == sum(len(row.raw) for row in rows)
        assert view.looked_at == view.high - view.low + 1 - sum(gap.count for gap in gaps)
        assert view.following <= view.attached
        assert view.waiting == (0 if view.following else self.waiting)
        assert len(view.items) <= self.most

    def teardown(self) -> None:
        """Paged from the live end to event 1, with every gap loaded, it is all that the log gives."""
        for reading in self.readings:
            cancel(reading)
        self.view.begin(self.ring)
        self.view.pause()
        found: dict[int, bytes] = {}
        while True:
            while gaps := [item for item in self.view.items if isinstance(item, Gap) and not item.absent]:
                self.at_once(self.pages.load_gap(gaps[-1]))
            found |= {item.event_id: item.raw for item in self.view.items if isinstance(item, Row)}
            if self.view.at_start:
                break
            low, top = self.view.low, [*self.view.items][:1]
            self.at_once(self.pages.load_older())
            assert self.view.low < low
            assert top == [] or top[0] in self.view.items  # or who moves up from there would miss some
        of_log = [raw for _, _, raw in self.find(self.kind, 1, self.view.live)]
        assert [found[event_id] for event_id in sorted(found)] == of_log


@pytest.mark.parametrize("examples", [25, pytest.param(300, marks=pytest.mark.chaos)])
def test_the_window_is_what_the_log_gives_for_the_same_filter(examples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PAGE", "PAGE_BYTES", "_FIRST_REACH"):
        monkeypatch.setattr(pages_module, name, getattr(pages_module, name))  # to be put back
    many = settings(max_examples=examples, stateful_step_count=40, deadline=None)
    run_state_machine_as_test(Window, settings=many)
