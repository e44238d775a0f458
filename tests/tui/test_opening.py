"""Going to a time, and what the next console takes over from the last: its columns and its theme."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.command import CommandList

from audit_stream.timestamps import format_rfc3339_ms
from audit_tui.clock import Clock
from audit_tui.storage.config import Config
from audit_tui.widgets.event_lines import Styles
from tests.tui.fake_log import START_MS, make_log
from tests.tui.test_main_screen import Console, console

CLOCK = Clock(now_s=time.monotonic, now_ms=lambda: START_MS + 3_600_000)  # 2026-05-28T21:26:40Z


def at(event_id: int, *, plus_ms: int = 0) -> str:
    """The timestamp of an event of the log in memory, or so much later."""
    return format_rfc3339_ms(START_MS + 1_000 * (event_id - 1) + plus_ms)


async def go_to(seen: Console, typed: str) -> None:
    await seen.keys("g")
    await seen.until(lambda: type(seen.app.screen).__name__ == "GoToScreen")
    await seen.keys(*typed, "enter")


# Times


async def test_hiding_a_column_leaves_the_cursor_on_the_next_one(tmp_path: Path) -> None:
    async with console(make_log(5), tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 5)
        assert seen.main.table.cursor_column == "kind"
        await seen.keys("o")
        assert seen.main.table.cursor_column == "source"
        await seen.keys("home", "left", "left", "left", "o")
        assert seen.main.table.hidden == {"kind", "id"}
        assert seen.main.table.cursor_column == "time"


async def test_a_theme_is_kept_also_when_the_window_is_closed(tmp_path: Path) -> None:
    async with console(make_log(5), tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 5)
        seen.app.theme = "nord"
        kept = tmp_path / "session.json"
        await seen.until(lambda: kept.exists() and '"nord"' in kept.read_text())


async def test_a_time_in_memory_is_gone_to_without_a_page(tmp_path: Path) -> None:
    log = make_log(400)
    async with console(log, tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 400)
        await go_to(seen, at(300))
        await seen.until(lambda: seen.cursor == 300)
        assert not seen.main.session.view.following
        assert not [asked for asked in log.requests if "before=300" in asked]


@pytest.mark.parametrize(("typed", "event_id"), [(at(601), 601), (at(600, plus_ms=1), 601), (at(1, plus_ms=-1), 1)])
async def test_a_time_that_is_not_in_memory_loads_the_page_of_the_first_event_from_then_on(
    tmp_path: Path, typed: str, event_id: int
) -> None:
    async with console(make_log(3_000), tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 3_000)
        assert event_id not in seen.ids
        await go_to(seen, typed)
        await seen.until(lambda: seen.cursor == event_id)
        assert any(f" {event_id} " in line for line in seen.lines)


async def test_a_time_of_day_is_one_of_the_zone_that_times_are_shown_in(tmp_path: Path, far_from_utc: None) -> None:
    async with console(make_log(3_000), tmp_path, clock=CLOCK) as seen:
        await seen.until(lambda: seen.cursor == 3_000)
        await go_to(seen, "02:06:40")
        await seen.until(lambda: seen.cursor == 601)
        await seen.keys("t")
        await go_to(seen, "20:35:00")
        await seen.until(lambda: seen.cursor == 501)


async def test_a_span_back_counts_from_now(tmp_path: Path) -> None:
    async with console(make_log(3_000), tmp_path, clock=CLOCK) as seen:
        await seen.until(lambda: seen.cursor == 3_000)
        await go_to(seen, "-50m")
        await seen.until(lambda: seen.cursor == 601)


async def test_a_time_leads_to_the_first_event_that_passes_the_filter(tmp_path: Path) -> None:
    async with console(make_log(3_000), tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 3_000)
        seen.main.filters.apply("kind:request_denied")
        await seen.until(lambda: bool(seen.ids) and all(event_id % 7 == 2 for event_id in seen.ids))
        await go_to(seen, at(601))
        await seen.until(lambda: seen.cursor == 604)


@pytest.mark.parametrize(("filter_text", "last"), [("", 50), ("kind:request_denied", 44)])
async def test_a_time_after_the_last_event_that_passes_is_said_to_be_the_live_end(
    tmp_path: Path, filter_text: str, last: int
) -> None:
    async with console(make_log(50), tmp_path, filter=filter_text) as seen:
        await seen.until(lambda: seen.cursor == last)
        await seen.keys("up")
        await go_to(seen, at(last + 1))
        await seen.until(lambda: "no event is as late as that: this is the live end" in seen.said)
        await seen.until(lambda: seen.cursor == last and seen.main.session.view.following)


@pytest.fixture
def far_from_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A local time that is five hours and a half ahead, in which half of the log is of the next day."""
    monkeypatch.setenv("TZ", "IST-5:30")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


# Columns


async def test_columns_that_were_hidden_stay_hidden_in_the_next_console(tmp_path: Path) -> None:
    log = make_log(20)
    async with console(log, tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 20)
        assert seen.lines[0].split() == ["#", "time", "sev", "kind", "source", "payload"]
        await seen.keys("o", *["left"] * 5, "o")
        assert seen.lines[0].split() == ["time", "sev", "source", "payload"]
        await seen.keys("q")
    async with console(log, tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 20)
        assert seen.lines[0].split() == ["time", "sev", "source", "payload"]
        assert "watch_drifted" not in "".join(seen.lines)
        assert "drift=0.25" in "".join(seen.lines)


async def test_on_the_summary_all_columns_are_shown_again_also_in_the_next_console(tmp_path: Path) -> None:
    log = make_log(20)
    async with console(log, tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 20)
        await seen.keys("o", "q")
    for _ in range(2):
        async with console(log, tmp_path) as seen:
            await seen.until(lambda: seen.cursor == 20)
            await seen.keys(*["right"] * 5, "o")
            assert seen.lines[0].split() == ["#", "time", "sev", "kind", "source", "payload"]
            await seen.keys("q")


async def test_columns_are_hidden_for_one_daemon_only(tmp_path: Path) -> None:
    async with console(make_log(20), tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 20)
        await seen.keys("o", "q")
    async with console(make_log(20, url="http://other.test:8093"), tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 20)
        assert "kind" in seen.lines[0].split()


# Themes


async def choose(seen: Console, typed: str, offered: str) -> None:
    """In a palette that is open, once it offers this and nothing else."""
    await seen.keys(*typed)
    await seen.until(
        lambda: [str(option.prompt) for option in seen.app.screen.query_one(CommandList).options] == [offered]
    )
    await seen.keys("enter")


async def choose_theme(seen: Console, name: str) -> None:
    await seen.keys("ctrl+p")
    await choose(seen, "theme", "Theme\nChange the current theme")
    await choose(seen, name, name)
    await seen.until(lambda: seen.app.theme == name and seen.app.screen is seen.main)


async def test_a_theme_that_was_chosen_is_there_in_the_next_console(tmp_path: Path) -> None:
    log = make_log(20)
    async with console(log, tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 20)
        dark = Styles.of(seen.main.table).header
        await choose_theme(seen, "textual-light")
        await seen.keys("q")
    async with console(log, tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 20)
        assert seen.app.theme == "textual-light"
        assert Styles.of(seen.main.table).header.bgcolor != dark.bgcolor


async def test_the_theme_of_the_settings_goes_before_the_one_that_was_chosen(tmp_path: Path) -> None:
    log = make_log(20)
    async with console(log, tmp_path) as seen:
        await choose_theme(seen, "textual-light")
        await seen.keys("q")
    async with console(log, tmp_path, config=Config(theme="nord")) as seen:
        assert seen.app.theme == "nord"


async def test_a_theme_that_there_is_none_of_changes_nothing(tmp_path: Path) -> None:
    async with console(make_log(20), tmp_path, config=Config(theme="no-such")) as seen:
        await seen.until(lambda: seen.cursor == 20)
        assert seen.app.theme == "textual-dark"
