"""The main screen on a daemon in memory."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.events import Key
from textual.pilot import Pilot
from textual.widgets import Static

from audit_stream.kinds import Severity
from audit_tui.app import ConsoleApp, Opening
from audit_tui.controllers.status import shown_text
from audit_tui.log import Log
from audit_tui.model.ring import Ring
from audit_tui.model.rows import Row
from audit_tui.screens.main import MainScreen
from audit_tui.storage.config import Config
from audit_tui.user_data import UserData
from audit_tui.widgets.activity_panel import ActivityPanel
from audit_tui.widgets.status_bar import StatusBar
from tests.tui.fake_log import FakeLog, make_log, tampered

DEADLINE_S = 20
Until = Callable[[Callable[[], bool]], Awaitable[None]]


class Console:
    """The app under test, with what a person would look at."""

    def __init__(self, app: ConsoleApp, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot

    @property
    def main(self) -> MainScreen:
        return next(screen for screen in self.app.screen_stack if isinstance(screen, MainScreen))

    @property
    def cursor(self) -> int:
        row = self.main.table.cursor_row
        return 0 if row is None else row.event_id

    @property
    def ids(self) -> list[int]:
        return [item.event_id for item in self.main.session.view.items if isinstance(item, Row)]

    @property
    def lines(self) -> list[str]:
        table = self.main.table
        return [table.render_line(y).text for y in range(table.size.height)]

    @property
    def drawn(self) -> list[str]:
        """The lines as the compositor has them, which are drawn anew only when somebody says so."""
        return ["".join(segment.text for segment in strip) for strip in self.app.screen._compositor.render_strips()]

    @property
    def said(self) -> list[str]:
        """The notices on the screen."""
        return [notification.message for notification in self.app._notifications]

    @property
    def shown(self) -> str:
        """What the status says of the table, all of it."""
        return shown_text(self.main.session, self.main.table.cursor)

    @property
    def status(self) -> str:
        return " ".join(str(part.content) for part in self.main.query_one(StatusBar).query(Static))

    async def keys(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                await self.pilot.pause(0.01)


@asynccontextmanager
async def console(
    log: FakeLog, tmp_path: Path, *, size: tuple[int, int] = (120, 40), config: Config | None = None, **opening: Any
) -> AsyncIterator[Console]:
    async def open_log(url: str) -> Log:
        return log

    user_data = UserData(config or Config(), tmp_path)
    user_data.load()
    app = ConsoleApp(Opening(url=log.url, open_log=open_log, **opening), user_data)
    async with app.run_test(size=size) as pilot:
        seen = Console(app, pilot)
        await seen.until(lambda: bool(seen.ids) or not log.raw)
        yield seen


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def go() -> None:
        await main()

    asyncio.run(go())


async def test_events_appear_newest_at_the_bottom_and_are_followed(tmp_path: Path) -> None:
    log = make_log(100)
    async with console(log, tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 100)
        log.append("request_denied", "policy-as-code-engine", {"decision": "deny"})
        await seen.until(lambda: seen.cursor == 101)
        assert "request_denied" in seen.lines[-1]
        assert "decision=deny" in seen.lines[-1]
        assert seen.lines[-1].startswith("│")


async def test_moving_up_pauses_and_nothing_moves_until_the_live_end_is_wanted(tmp_path: Path) -> None:
    log = make_log(100)
    async with console(log, tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 100)
        await seen.keys("up", "up")
        before = seen.lines
        for _ in range(20):
            log.append("breaker_opened", "reliability-toolkit")
        await seen.until(lambda: seen.main.session.view.waiting == 20)
        assert seen.cursor == 98
        assert [line[:-1] for line in seen.lines] == [line[:-1] for line in before]  # but for the scroll bar
        assert seen.main.session.view.worst is Severity.CRITICAL
        assert "PAUSED +20 new, worst critical" in seen.shown
        await seen.keys("down", "down", "down")
        assert not seen.main.session.view.following  # off holds
        await seen.keys("end")
        await seen.until(lambda: seen.cursor == 120)
        assert seen.main.session.view.following


async def test_scrolling_up_reaches_event_1_without_a_gap(tmp_path: Path) -> None:
    async with console(make_log(1500), tmp_path) as seen:
        async with asyncio.timeout(DEADLINE_S):
            while seen.cursor != 1:
                await seen.keys("pageup")
        assert seen.ids == list(range(1, 1501))


async def test_home_goes_to_event_1_and_end_back(tmp_path: Path) -> None:
    async with console(make_log(3000), tmp_path) as seen:
        await seen.keys("home")
        await seen.until(lambda: seen.cursor == 1)
        await seen.keys("end")
        await seen.until(lambda: seen.cursor == 3000)


async def test_a_filter_holds_for_live_and_history_and_survives_a_reconnect(tmp_path: Path) -> None:
    log = make_log(700)
    async with console(log, tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 700)
        await seen.keys("slash", *"kind:request_denied", "enter")
        await seen.until(lambda: "kind:request_denied" in seen.main.session.view.filter_text)
        await seen.until(lambda: bool(seen.ids) and seen.ids[0] == 2)  # the history, too
        assert all(event_id % 7 == 2 for event_id in seen.ids)
        log.go_away()
        await seen.until(lambda: "retrying" in seen.main.session.connection.text(0))
        log.append("request_denied", "policy-as-code-engine")
        log.append("other", "cron")
        log.come_back()
        await seen.until(lambda: seen.ids[-1] == 701)
        assert "of" in seen.shown


async def test_a_cell_is_filtered_by_and_widened_again(tmp_path: Path) -> None:
    log = make_log(100)
    async with console(log, tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 100)
        kind = log_kind(seen)
        await seen.keys("i")
        await seen.until(lambda: seen.main.session.view.filter_text == f"kind:{kind}")
        await seen.keys("w")
        await seen.until(lambda: len(seen.ids) == 100)
        await seen.keys("x")
        await seen.until(lambda: seen.main.session.view.filter_text == f"-kind:{kind}")


def log_kind(seen: Console) -> str:
    row = seen.main.table.cursor_row
    assert row is not None
    return row.kind


async def test_an_edited_event_turns_the_badge_red_until_acknowledged(tmp_path: Path) -> None:
    log = make_log(60)
    async with console(log, tmp_path, verify_every_s=0.2) as seen:
        await seen.until(lambda: "VERIFIED 60" in seen.app.badge_text)
        good = log.raw[41]
        log.raw[41] = tampered(good, source="mallory")
        await seen.until(lambda: "BROKEN at #42" in seen.app.badge_text)
        log.raw[41] = good
        walks = log.requests.count("verify")
        await seen.until(lambda: log.requests.count("verify") > walks + 1)
        assert "BROKEN at #42" in seen.app.badge_text
        await seen.keys("a")
        await seen.until(lambda: "VERIFIED" in seen.app.badge_text)


async def test_what_is_left_is_restored(tmp_path: Path) -> None:
    log = make_log(50)
    async with console(log, tmp_path) as seen:
        await seen.keys("t")
        seen.main.filters.apply("kind:other")
        seen.main.filters.apply("severity:>=warning")
        await seen.pilot.pause()
        await seen.keys("q")
    async with console(log, tmp_path) as seen:
        await seen.until(lambda: seen.main.session.view.filter_text == "severity:>=warning")
        assert seen.main.table.time_format == "utc"
        await seen.keys("slash", "up", "enter")
        await seen.until(lambda: seen.main.session.view.filter_text == "kind:other")


async def test_keys_can_be_remapped(tmp_path: Path) -> None:
    async with console(make_log(5), tmp_path, config=Config(keys={"pause": "z"})) as seen:
        await seen.keys("space")
        assert seen.main.session.view.following
        await seen.keys("z")
        assert not seen.main.session.view.following


HOSTILE = (
    "\x1b[31mred\x1b]0;title\x07",
    "\u202eevil\u2066",
    "zero\u200bwidth",
    "é" * 500,
    "宽" * 200,
    "🔐" * 99,
    "\x9b31m\x00",
)


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("size", [(80, 24), (120, 40), (20, 5)])
async def test_hostile_text_never_breaks_a_line_nor_reaches_the_terminal(
    tmp_path: Path, text: str, size: tuple[int, int]
) -> None:
    log = FakeLog([])
    log.append("other", text[:60], {"text": text, text: [text]})
    async with console(log, tmp_path, size=size) as seen:
        await seen.until(lambda: seen.cursor == 1)
        table = seen.main.table
        for y in range(table.size.height):
            strip = table.render_line(y)
            assert strip.cell_length == table.size.width
            assert strip.text.isprintable()


async def test_the_smallest_terminal_and_back(tmp_path: Path) -> None:
    async with console(make_log(50), tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 50)
        await seen.pilot.resize_terminal(20, 5)
        await seen.pilot.pause()
        await seen.pilot.resize_terminal(120, 40)
        await seen.pilot.pause()
        assert seen.cursor == 50
        assert "│" in seen.lines[-1] or "│" in seen.lines[20]


@pytest.mark.parametrize("key", ["question_mark", "b", "g", "enter", "d", "D", "F", "e", "M", "ctrl+p"])
async def test_every_screen_opens_and_escape_leads_back(tmp_path: Path, key: str) -> None:
    async with console(make_log(20), tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 20)
        await seen.keys(key)
        await seen.until(lambda: not isinstance(seen.app.screen, MainScreen))
        await seen.keys("escape")
        await seen.until(lambda: isinstance(seen.app.screen, MainScreen))


def test_the_console_has_no_way_to_write_to_a_daemon() -> None:
    """It reads by `Log`, which has no method that writes."""
    assert not [name for name in vars(Log) if "append" in name or "post" in name]


async def test_the_keys_of_the_bars_are_letters_while_one_types(tmp_path: Path) -> None:
    async with console(make_log(50), tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 50)
        await seen.keys("slash", *"payload.f:1", "enter")
        await seen.until(lambda: "payload.f" in seen.main.session.view.filter_text)


async def test_a_filter_that_nothing_in_memory_passes_looks_in_the_history(tmp_path: Path) -> None:
    async with console(make_log(2000), tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 2000)
        seen.main.filters.apply("id:5..9")
        await seen.until(lambda: seen.ids == [5, 6, 7, 8, 9])
        assert "5 of 2,000 shown, the hidden ones not all checked" in seen.shown


async def test_find_says_which_of_how_many(tmp_path: Path) -> None:
    async with console(make_log(70), tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 70)
        await seen.keys("f", *"breaker_opened")
        matches = seen.main.query_one("#matches", Static)
        await seen.until(lambda: "10 of 10" in str(matches.render()))
        await seen.keys("enter", "N")
        await seen.until(lambda: seen.cursor == 61)


async def test_a_bundle_never_replaces_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    async with console(make_log(20), tmp_path / "state") as seen:
        await seen.until(lambda: seen.cursor == 20)
        await seen.keys("E")
        await seen.until(lambda: len(list(tmp_path.glob("audit-stream-evidence-20-20*.json"))) == 1)
        await seen.keys("E")
        await seen.until(lambda: len(list(tmp_path.glob("audit-stream-evidence-20-20*.json"))) == 2)


async def test_the_palette_has_what_has_a_key(tmp_path: Path) -> None:
    async with console(make_log(5), tmp_path) as seen:
        titles = {command.title for command in seen.app.get_system_commands(seen.app.screen)}
        assert {"Filter", "Integrity", "Evidence bundle", "Export", "Live end", "Theme"} <= titles


async def test_changing_the_filter_far_back_stays_there(tmp_path: Path) -> None:
    async with console(make_log(3000), tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 3000)
        seen.main.history.go_to_event(700)
        await seen.until(lambda: seen.cursor == 700)
        seen.main.filters.apply("kind:request_allowed,request_denied")
        await seen.until(lambda: seen.main.session.view.filtered and 690 <= seen.cursor <= 710)
        seen.main.action_widen()
        await seen.until(lambda: not seen.main.session.view.filtered and 690 <= seen.cursor <= 710)


async def test_a_broken_event_that_the_detail_reads_turns_the_badge_red(tmp_path: Path) -> None:
    log = make_log(1000)
    async with console(log, tmp_path) as seen:
        await seen.until(lambda: "VERIFIED" in seen.app.badge_text)
        log.raw[990] = tampered(log.raw[990], source="mallory")
        await seen.keys("enter", *["comma"] * 10)
        await seen.until(lambda: "BROKEN at #991" in seen.app.badge_text)


async def test_the_status_tells_of_a_filter_as_soon_as_its_first_rows_are_there(tmp_path: Path) -> None:
    async with console(make_log(100), tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 100 and not seen.main.session.view.filtered)
        view, told = seen.main.session.view, []
        whole = view.look_back

        def look_back(ring: Ring) -> bool:
            told.append(seen.status)  # when the loop comes back for the next slice
            return whole(ring)

        view.look_back = look_back  # type: ignore[method-assign]
        seen.main.filters.apply("kind:request_denied")
        await seen.until(lambda: len(told) > 1)
        assert re.search(r"[\d,]+ of [\d,]+ shown", told[1])


async def test_the_panel_shows_as_chosen_what_the_filter_lists_and_no_more(tmp_path: Path) -> None:
    async with console(make_log(50), tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 50)
        await seen.keys("p", "tab", "space")
        await seen.until(lambda: seen.main.session.view.filter_text.startswith("kind:"))
        panel = seen.main.query_one(ActivityPanel)
        assert any("✓" in panel.render_line(y).text for y in range(panel.size.height))
        await seen.keys("w")
        await seen.until(lambda: not seen.main.session.view.filter_text)
        assert not any("✓" in panel.render_line(y).text for y in range(panel.size.height))


async def test_the_settings_say_how_times_are_shown_at_first_and_which_key_opens_the_palette(tmp_path: Path) -> None:
    config = Config(utc=True, keys={"palette": "ctrl+o"})
    async with console(make_log(5), tmp_path, config=config) as seen:
        await seen.until(lambda: seen.lines[5].split()[2].endswith("Z"))
        await seen.keys("t", "t", "t")
        await seen.keys("ctrl+o")
        await seen.until(lambda: type(seen.app.screen).__name__ == "Palette")
    async with console(make_log(5), tmp_path, config=config) as seen:
        assert seen.main.table.time_format == "utc"


async def test_a_file_is_not_called_live(tmp_path: Path) -> None:
    async with console(make_log(5, url="/evidence/audit.db"), tmp_path) as seen:
        await seen.until(lambda: "● file" in seen.status)


async def test_a_selection_that_was_begun_goes_on_with_every_move_until_it_is_ended(tmp_path: Path) -> None:
    async with console(make_log(100), tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 100)
        await seen.keys("up", "s", "up", "up")
        assert [row.event_id for row in seen.main.table.cursor.selected] == [97, 98, 99]
        assert "3 selected" in seen.status
        assert [line[:2] for line in seen.lines[-4:]] == ["│▪", "│▪", "│▪", "│ "]
        await seen.keys("s", "up")
        assert [row.event_id for row in seen.main.table.cursor.selected] == [96]
        await seen.keys("shift+up", "shift+up")
        assert "3 selected" in seen.status
        await seen.keys("escape")
        assert "selected" not in seen.status


@pytest.mark.parametrize("keys", [(), ("up", "up")], ids=["following", "paused"])
async def test_a_terminal_of_another_height_shows_the_cursor_at_once(tmp_path: Path, keys: tuple[str, ...]) -> None:
    async with console(make_log(100), tmp_path, size=(80, 24)) as seen:
        await seen.until(lambda: seen.cursor == 100)
        await seen.keys(*keys)
        cursor = f" {seen.cursor} "
        for height in (12, 24, 8, 30):
            await seen.pilot.resize_terminal(80, height)
            await seen.until(lambda: len(seen.drawn) == height)  # noqa: B023 - awaited at once
            await seen.until(lambda: any(cursor in line for line in seen.drawn))
            assert seen.drawn[-2].strip()


BURSTS = (
    ("ctrl+p", "pagedown"),
    ("ctrl+p", *"theme", "down", "enter", "pagedown", "pageup", "escape"),
    ("ctrl+p", "pageup", "down", "enter", "escape"),
    ("ctrl+p", "down", "enter", "escape", "ctrl+p", "down", "enter", "escape"),
    ("F", "pagedown", "delete", "enter", "escape"),
    ("d", "down", "pagedown", "enter", "escape"),
    ("enter", "right_square_bracket", "escape", "enter", "comma", "escape"),
    ("M", "f2", "escape", "g", "1", "enter", "escape"),
    ("b", "escape", "escape", "question_mark", "escape", "e", "escape"),
)


@pytest.mark.parametrize("keys", BURSTS, ids=["-".join(keys) for keys in BURSTS])
async def test_a_burst_of_keys_ends_no_console(tmp_path: Path, keys: tuple[str, ...]) -> None:
    async with console(make_log(50), tmp_path, config=Config(filters={"a": "kind:other"})) as seen:
        await seen.until(lambda: seen.cursor == 50)
        for key in keys * 3:
            seen.app.post_message(Key(key, key if len(key) == 1 else None))
        await seen.pilot.pause()
        for _ in range(10):
            await seen.keys("escape")
        assert seen.app.screen is seen.main


async def test_an_address_that_never_answered_is_not_offered_again(tmp_path: Path) -> None:
    log = FakeLog([])
    log.go_away()
    async with console(log, tmp_path) as seen:
        await seen.until(lambda: "no daemon answers" in seen.status)
        await seen.keys("q")
    user_data = UserData(Config(), tmp_path)
    user_data.load()
    assert user_data.state.recent_urls == ()


async def test_the_detail_of_an_event_that_the_daemon_calls_broken_says_so(tmp_path: Path) -> None:
    log = make_log(20)
    async with console(log, tmp_path) as seen:
        await seen.until(lambda: "VERIFIED" in seen.app.badge_text)
        log.raw[18] = tampered(log.raw[18], source="mallory")
        await seen.keys("v")
        await seen.until(lambda: "BROKEN at #19" in seen.app.badge_text)
        await seen.keys("up", "enter")
        said = "✗ the daemon says: hash mismatch at event #19 (b); this copy: ✓ linked"
        await seen.until(lambda: any(said in line for line in seen.drawn))


async def test_the_panel_is_full_as_soon_as_it_is_open(tmp_path: Path) -> None:
    async with console(make_log(50), tmp_path) as seen:
        panel = seen.main.query_one(ActivityPanel)
        await seen.until(lambda: bool(seen.main.session.activity.ranked(seen.main.session.clock.now_s(), "kind")))
        for tick in range(1, 4):  # none of which is one of the panel's own
            panel.show((), ())
            seen.main._ticks = tick
            seen.main.action_activity()
            assert panel._current.entry is not None
            seen.main.action_activity()


@pytest.mark.parametrize(("columns", "narrow"), [(120, 38), (80, 30), (160, 60)])
async def test_the_panel_has_all_its_columns_while_one_is_in_it(columns: int, narrow: int, tmp_path: Path) -> None:
    async with console(make_log(50), tmp_path, size=(columns, 30)) as seen:
        await seen.until(lambda: bool(seen.main.session.activity.ranked(seen.main.session.clock.now_s(), "kind")))
        panel = seen.main.query_one(ActivityPanel)
        await seen.keys("p")
        await seen.until(lambda: panel.outer_size.width == narrow)
        await seen.keys("tab")
        await seen.until(lambda: panel.outer_size.width == 60)
        assert panel.render_line(0).text.split()[2:] == ["count", "%", "rate", "last", "2", "min"]
        await seen.pilot.resize_terminal(40, 10)
        await seen.until(lambda: panel.outer_size.width == 30)
        await seen.pilot.resize_terminal(columns, 30)
        await seen.keys("tab")
        await seen.until(lambda: panel.outer_size.width == narrow)


async def test_what_the_panel_leaves_out_is_marked_and_taken_back(tmp_path: Path) -> None:
    async with console(make_log(50), tmp_path) as seen:
        await seen.until(lambda: bool(seen.main.session.activity.ranked(seen.main.session.clock.now_s(), "kind")))
        await seen.keys("p", "tab", "x")
        text = seen.main.session.view.filter_text
        assert text.startswith("-kind:")
        await seen.keys("x")
        assert seen.main.session.view.filter_text == ""
        await seen.keys("x", "space")
        assert seen.main.session.view.filter_text == text.removeprefix("-")
        await seen.keys("down", "x", "escape")
        assert seen.main.session.view.filter_text == ""


async def test_a_bundle_that_has_no_directory_to_go_to_is_said_not_to_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    async with console(make_log(20), tmp_path / "state") as seen:
        await seen.until(lambda: seen.cursor == 20)
        await seen.keys("E")
        await seen.until(lambda: any("cannot be written to the directory" in text for text in seen.said))


async def test_find_says_which_match_one_is_on_and_where_there_are_more(tmp_path: Path) -> None:
    async with console(make_log(50), tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 50)
        await seen.keys("f", *"request_denied", "enter")
        await seen.until(lambda: seen.cursor < 50)
        await seen.keys("N")
        await seen.until(lambda: "match 6 of 7" in seen.said)
        await seen.keys("n", "n")
        await seen.until(lambda: "no match further down: N goes up" in seen.said)
