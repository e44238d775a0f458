"""The filtered table against what the log gives for the same filter; searching and finding through the history."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Static

from audit_stream.client import EVERYTHING, RawEvent, Selection
from audit_stream.client.failures import Again
from audit_stream.errors import ClientError
from audit_tui import pages as pages_module
from audit_tui.model.rows import Gap
from audit_tui.widgets.event_table import EventTable
from audit_tui.widgets.filter_bar import FilterBar
from tests.tui.fake_log import FakeLog, chained, make_log
from tests.tui.test_main_screen import Console, console

RARE = "breaker_opened"
NONE = "source:nobody"


def searched(seen: Console) -> str:
    """What the filter's bar says of the search."""
    return str(seen.main.query_one(FilterBar).query_one("#search", Static).content)


class SlowLog(FakeLog):
    """A log that answers a search only when told so. `failures` are raised instead, one a search."""

    def __init__(self, events: list[bytes]) -> None:
        super().__init__(events)
        self.turns = asyncio.Semaphore(0)
        self.searches: list[tuple[int | None, int | None]] = []
        self.failures: list[ClientError] = []

    async def events(self, selection: Selection = EVERYTHING, **asked: Any) -> AsyncGenerator[RawEvent]:
        if selection.q:
            self.searches.append((asked["since_id"], asked["before_id"]))
            await self.turns.acquire()
            if self.failures:
                raise self.failures.pop(0)
        async for served in super().events(selection, **asked):
            yield served


@pytest.fixture
def short_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages_module, "_FIRST_REACH", 1000)
    monkeypatch.setattr(pages_module, "_FAST_S", 0)


async def test_a_filter_over_more_than_a_slice_in_memory_shows_each_event_once_and_in_order(tmp_path: Path) -> None:
    log = make_log(3000)
    async with console(log, tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 3000)
        for number in range(600):
            log.append(RARE if number % 100 == 0 else "other", "cron")
        await seen.until(lambda: seen.cursor == 3600)
        seen.main.filters.apply(f"kind:{RARE}")
        await seen.until(lambda: seen.ids[:1] == [5])
        of_log = [*range(5, 3001, 7), *range(3001, 3601, 100)]
        assert seen.ids == of_log
        assert f"{len(of_log):,} of 3,600 shown" in seen.status


async def test_of_a_filtered_export_nothing_is_missed_that_enter_could_load(tmp_path: Path) -> None:
    """What the log holds is known of all that it gave in one answer; a filter has no rows for what is not there."""

    part = make_log(100).raw[2::3]
    async with console(FakeLog(part), tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 99)
        gaps = [item for item in seen.main.session.view.items if isinstance(item, Gap)]
        assert len(gaps) == len(part) - 1
        assert all(gap.absent for gap in gaps)
        assert any("2 missing: #97–#98 are not in the log" in line for line in seen.lines)
        seen.main.filters.apply(f"kind:{RARE}")
        of_log = [n for n in range(3, 101, 3) if n % 7 == 5]
        await seen.until(lambda: [getattr(item, "event_id", 0) for item in seen.main.session.view.items] == of_log)
        assert f"{len(of_log)} shown" in seen.status
        assert f"{len(of_log)} of " not in seen.status


async def test_moving_up_through_the_largest_events_skips_none(tmp_path: Path) -> None:
    """A page of them is larger than the window, and would push out the row that one moves up from."""

    log = FakeLog([*chained(("other", "large", {"text": "x" * 60_000}) for _ in range(900))])
    async with console(log, tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 900)
        await seen.keys("pageup")
        view, pages = seen.main.session.view, seen.main.session.pages
        while not view.at_start:
            top = view.low
            await pages.load_older()
            assert top in seen.ids, "the row that one moves up from"


@pytest.mark.usefixtures("short_steps")
async def test_a_search_says_how_far_it_is_and_can_be_stopped_and_gone_on_with(tmp_path: Path) -> None:
    log = SlowLog(make_log(3300).raw)
    async with console(log, tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 3300)
        seen.main.filters.apply(NONE)
        await seen.until(lambda: log.searches == [(2000, 3001)])
        await seen.until(lambda: searched(seen) == "searching · back to #3,001 · Esc stops")
        assert "no event passes the filter so far: searching · back to #3,001" in seen.lines[2]
        log.turns.release()
        await seen.until(lambda: searched(seen) == "searching · back to #2,001 · Esc stops")
        await seen.keys("escape")
        assert searched(seen) == "stopped · back to #2,001 · Up goes on"
        assert "stopped" in seen.lines[2]
        log.append()
        log.turns.release()
        await seen.until(lambda: seen.main.session.view.live == 3301)
        assert log.searches[2:] == []  # nor does what comes in begin it again
        await seen.keys("up")
        log.turns.release()
        log.turns.release()
        await seen.until(lambda: searched(seen) == "")
        assert log.searches[2:] == [(1000, 2001), (0, 1001)]
        assert "no event passes the filter: w takes its last term away" in seen.lines[2]
        assert "0 of 3,301 shown" in seen.status


@pytest.mark.usefixtures("short_steps")
async def test_a_search_that_a_busy_daemon_refuses_waits_and_goes_on_in_shorter_steps(tmp_path: Path) -> None:
    log = SlowLog(make_log(2300).raw)
    refused = Again("too many searches", status=503, retry_after_s=3)  # long enough to be seen on a busy machine
    log.failures = [refused, Again("given up after 30 s", status=504)]
    for _ in range(20):
        log.turns.release()
    async with console(log, tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 2300)
        seen.main.filters.apply(NONE)
        await seen.until(lambda: "waiting: too many searches" in searched(seen) + seen.lines[2])
        await seen.until(lambda: "no event passes the filter: w" in seen.lines[2])
        assert log.searches[:4] == [(1000, 2001), (1500, 2001), (1500, 2001), (1000, 1501)]


@pytest.mark.usefixtures("short_steps")
async def test_a_search_that_fails_stops_until_somebody_goes_on_with_it(tmp_path: Path) -> None:
    log = SlowLog(make_log(2300).raw)
    log.failures = [ClientError("no such search", status=400)]
    for _ in range(20):
        log.turns.release()
    async with console(log, tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 2300)
        seen.main.filters.apply(NONE)
        await seen.until(lambda: "no such search" in seen.said)
        assert searched(seen) == "stopped · back to #2,001 · Up goes on"
        seen.main.table.post_message(EventTable.OlderWanted())  # as it was on its way when the search failed
        log.append()
        await seen.until(lambda: seen.main.session.view.live == 2301)
        assert len(log.searches) == 1
        await seen.keys("up")
        await seen.until(lambda: "no event passes the filter: w" in seen.lines[2])


async def test_an_answer_to_a_former_filter_changes_nothing(tmp_path: Path) -> None:
    log = SlowLog(make_log(2000).raw)
    async with console(log, tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 2000)
        view, pages = seen.main.session.view, seen.main.session.pages
        seen.main.filters.apply(f"kind:{RARE}")
        await seen.until(lambda: bool(log.searches))
        late = asyncio.create_task(pages.load_older())
        around = asyncio.create_task(pages.show_around(700))
        await asyncio.sleep(0)
        seen.main.filters.apply("kind:other")
        for _ in range(20):
            log.turns.release()
        await asyncio.gather(late, around)
        await seen.until(lambda: view.at_start)
        assert seen.ids == list(range(7, 2001, 7))


def with_a_needle(count: int, at: int) -> FakeLog:
    return FakeLog([*chained(("other", "needle" if n == at else "hay", {}) for n in range(1, count + 1))])


@pytest.mark.parametrize("filter_", ["", "kind:other"])
async def test_find_says_that_it_looked_at_what_is_loaded_and_goes_on_in_the_history(
    tmp_path: Path, filter_: str
) -> None:
    async with console(with_a_needle(3000, 1700), tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 3000)
        if filter_:
            seen.main.filters.apply(filter_)
        await seen.keys("f", *"needle")
        matches = seen.main.query_one("#matches", Static)
        await seen.until(lambda: str(matches.content) == "not found in what is loaded")
        await seen.keys("enter", "N")
        await seen.until(lambda: any(text.endswith("N goes on in the history") for text in seen.said))
        assert seen.cursor == 3000
        await seen.keys("N")
        await seen.until(lambda: seen.cursor == 1700)
        await seen.until(lambda: "match 1 of 1 in what is loaded" in seen.said)
        await seen.keys("N")
        await seen.until(lambda: any(text.endswith("N goes on in the history") for text in seen.said))
        await seen.keys("N")
        await seen.until(lambda: "no match further up, in the history neither" in seen.said)
        assert seen.cursor == 1700


async def test_find_in_the_history_can_be_stopped(tmp_path: Path) -> None:
    log = with_a_needle(3000, 1700)
    async with console(log, tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 3000)
        await seen.keys("f", *"needle", "enter", "N")
        await seen.until(lambda: any(text.endswith("N goes on in the history") for text in seen.said))
        log.hold_after(0)
        await seen.keys("N")
        await seen.until(lambda: "finding, at #" in seen.status)
        await seen.keys("escape")
        log.hold_after(None)
        await seen.until(lambda: "finding" not in seen.status)
        assert seen.cursor == 3000
        assert seen.main.table.finder is not None
