"""What keys and clicks reach from the main screen on: other screens, the disk, the daemon, the bell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from textual.events import MouseScrollDown, MouseScrollUp
from textual.widgets import Input, OptionList, TextArea

from audit_tui.app import ConsoleApp
from audit_tui.screens.detail import DetailScreen
from audit_tui.screens.export import ExportScreen
from audit_tui.screens.integrity import IntegrityScreen
from audit_tui.screens.main import MainScreen
from audit_tui.screens.named_filters import NamedFiltersScreen
from audit_tui.screens.note import NoteScreen
from audit_tui.widgets.event_table import EventTable
from audit_tui.widgets.filter_bar import FilterBar
from tests.tui.fake_log import make_log, tampered
from tests.tui.test_main_screen import Console, console, run


def gutters(seen: Console) -> dict[int, str]:
    """What stands before each event on the screen, by its id."""
    rows = [line for line in seen.lines[1:] if line[2:].strip()]
    return {int(line[2:].split()[0]): line[:2] for line in rows}


async def filter_by(seen: Console, text: str) -> None:
    await seen.keys("slash", "ctrl+u", *text, "enter")
    await seen.until(lambda: seen.main.session.view.filter_text == text)


async def note(seen: Console, text: str) -> None:
    await seen.keys("M")
    await seen.until(lambda: isinstance(seen.app.screen, NoteScreen))
    await seen.keys(*text, "f2")
    await seen.until(lambda: not isinstance(seen.app.screen, NoteScreen))


async def detail(seen: Console) -> DetailScreen:
    await seen.keys("enter")
    await seen.until(lambda: isinstance(seen.app.screen, DetailScreen))
    screen = seen.app.screen
    assert isinstance(screen, DetailScreen)
    return screen


# Marks and notes


async def test_a_mark_stands_in_the_gutter_until_it_is_taken_away(tmp_path: Path) -> None:
    async with console(make_log(50), tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 50)
        await seen.keys("up", "m")
        await seen.until(lambda: "#49 marked" in seen.said)
        assert {event_id for event_id, gutter in gutters(seen).items() if "★" in gutter} == {49}
        await seen.until(lambda: "★" in "".join(seen.drawn))
        await seen.keys("m")
        await seen.until(lambda: "#49 no longer marked" in seen.said)
        await seen.until(lambda: "★" not in "".join(seen.drawn))


async def test_a_mark_is_there_in_the_next_console(tmp_path: Path) -> None:
    log = make_log(50)
    async with console(log, tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 50)
        await seen.keys("up", "m", "q")
    async with console(log, tmp_path) as seen:
        await seen.until(lambda: gutters(seen).get(49) == "│★")
        assert gutters(seen)[50] == "│ "


async def test_a_mark_outlives_a_console_that_nobody_ended(tmp_path: Path) -> None:
    log = make_log(50)
    async with console(log, tmp_path) as seen:
        await seen.until((tmp_path / "session.json").exists)  # what is saved from here on is what has changed since
        await seen.keys("m")
        await seen.until((tmp_path / "marks.json").exists)
    async with console(log, tmp_path) as seen:
        await seen.until(lambda: gutters(seen).get(50) == "│★")


async def test_a_note_marks_its_event_and_is_there_to_write_on_in_the_next_console(tmp_path: Path) -> None:
    log = make_log(50)
    async with console(log, tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 50)
        await note(seen, "seen")
        await seen.until(lambda: gutters(seen)[50] == "│★")
        await seen.keys("q")
    async with console(log, tmp_path) as seen:
        await seen.until(lambda: gutters(seen).get(50) == "│★")
        await seen.keys("M")
        await seen.until(lambda: isinstance(seen.app.screen, NoteScreen))
        assert seen.app.screen.query_one(TextArea).text == "seen"


# From the detail


@pytest.mark.parametrize(("key", "sign", "remainder"), [("i", "", {1}), ("x", "-", {0, 2, 3, 4, 5, 6})])
async def test_a_field_in_the_detail_filters_the_table(
    key: str, sign: str, remainder: set[int], tmp_path: Path
) -> None:
    async with console(make_log(50), tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 50)
        await detail(seen)
        await seen.keys("down", key)
        await seen.until(lambda: seen.main.session.view.filter_text == f"{sign}payload.bundle_id:student-data")
        assert isinstance(seen.app.screen, MainScreen)
        await seen.until(lambda: seen.ids == [each for each in range(1, 51) if each % 7 in remainder])


async def test_a_field_in_the_detail_narrows_the_filter_that_there_is(tmp_path: Path) -> None:
    async with console(make_log(50), tmp_path) as seen:
        await filter_by(seen, "severity:info")
        await seen.until(lambda: seen.cursor == 50)
        await detail(seen)
        await seen.keys("down", "i")
        wanted = "severity:info payload.bundle_id:student-data"
        await seen.until(lambda: seen.main.session.view.filter_text == wanted)


async def test_the_detail_marks_the_event_that_it_shows(tmp_path: Path) -> None:
    async with console(make_log(50), tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 50)
        shown = await detail(seen)
        await seen.keys("comma")
        await seen.until(lambda: shown.row.event_id == 49)
        await seen.keys("m", "escape")
        await seen.until(lambda: gutters(seen)[49] == "│★")
        assert gutters(seen)[50] == "│ "


async def test_the_detail_writes_a_note_on_the_event_that_it_shows(tmp_path: Path) -> None:
    async with console(make_log(50), tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 50)
        shown = await detail(seen)
        await seen.keys("comma")
        await seen.until(lambda: shown.row.event_id == 49)
        await note(seen, "odd")
        await seen.until(lambda: bool(seen.app.user_data.marks.all()))
        assert [(mark.event_id, mark.note) for mark in seen.app.user_data.marks.all()] == [(49, "odd")]
        await seen.keys("escape")
        assert gutters(seen)[49] == "│★"


# From the integrity screen


async def test_the_integrity_screen_asks_for_a_verdict(tmp_path: Path) -> None:
    log = make_log(50)
    async with console(log, tmp_path, verify_every_s=3600) as seen:
        await seen.until(lambda: "VERIFIED" in seen.app.badge_text)
        assert log.requests.count("verify") == 1
        await seen.keys("b")
        await seen.until(lambda: isinstance(seen.app.screen, IntegrityScreen))
        await seen.keys("v")
        await seen.until(lambda: log.requests.count("verify") == 2)


async def test_the_integrity_screen_acknowledges_what_is_red(tmp_path: Path) -> None:
    log = make_log(50)
    async with console(log, tmp_path, verify_every_s=3600) as seen:
        await seen.until(lambda: "VERIFIED" in seen.app.badge_text)
        log.raw[41] = tampered(log.raw[41], source="mallory")
        await seen.keys("v")
        await seen.until(lambda: "BROKEN at #42" in seen.app.badge_text)
        assert "acknowledged" not in seen.app.badge_text
        await seen.keys("b")
        await seen.until(lambda: isinstance(seen.app.screen, IntegrityScreen))
        await seen.keys("a")
        await seen.until(lambda: seen.app.badge_text.endswith("acknowledged"))
        assert "BROKEN at #42" in seen.app.badge_text
        await seen.until(lambda: any(seen.app.badge_text in line for line in seen.drawn))


# Filters


async def test_a_filter_that_was_given_a_name_can_be_chosen_in_the_next_console(tmp_path: Path) -> None:
    log = make_log(50)
    async with console(log, tmp_path) as seen:
        await filter_by(seen, "kind:request_denied")
        await seen.keys("F")
        await seen.until(lambda: isinstance(seen.app.screen, NamedFiltersScreen))
        await seen.keys("s", *"denials", "enter")
        await seen.until(lambda: any("✓ kept as denials" in line for line in seen.drawn))
        await seen.keys("escape", "w")
        await seen.until(lambda: not seen.main.session.view.filter_text)
        await seen.keys("q")
    async with console(log, tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 50)
        assert not seen.main.session.view.filter_text
        await seen.keys("F")
        await seen.until(lambda: isinstance(seen.app.screen, NamedFiltersScreen))
        assert seen.app.screen.query_one(OptionList).option_count == 1
        await seen.keys("enter")
        await seen.until(lambda: seen.main.session.view.filter_text == "kind:request_denied")
        await seen.until(lambda: seen.ids == [each for each in range(1, 51) if each % 7 == 2])


def test_the_export_has_what_passes_the_filter_of_the_moment_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    async def main() -> None:
        async with console(make_log(50), tmp_path / "state") as seen:
            await filter_by(seen, "kind:other")
            await filter_by(seen, "kind:request_denied")
            await seen.keys("e")
            await seen.until(lambda: isinstance(seen.app.screen, ExportScreen))
            await seen.until(lambda: any("Events: kind:request_denied" in line for line in seen.drawn))
            await seen.keys("enter")
            await seen.until(lambda: any("✓ 7 events in" in line for line in seen.drawn))

    run(main)
    (written,) = tmp_path.glob("audit-stream-*.jsonl")
    events = [json.loads(line) for line in written.read_text().splitlines()]
    assert [event["event_id"] for event in events] == [each for each in range(1, 51) if each % 7 == 2]
    assert {event["kind"] for event in events} == {"request_denied"}


@pytest.mark.parametrize(
    ("typed", "taken"),
    [
        ("kind:breaker", "kind:breaker_opened"),
        ("source:po", "source:policy-as-code-engine"),
        ("payload.", "payload.bundle_id:"),
        ("payload.fa", "payload.failures:"),
    ],
)
async def test_the_filter_completes_what_the_log_has(typed: str, taken: str, tmp_path: Path) -> None:
    async with console(make_log(50), tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 50)
        await seen.keys("slash", *typed, "tab")
        assert seen.main.query_one(FilterBar).query_one(Input).value == taken


async def test_the_fields_of_what_the_present_filter_hides_are_offered_too(tmp_path: Path) -> None:
    async with console(make_log(50), tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 50)
        await filter_by(seen, "kind:attestation_tampered")
        await seen.keys("slash", "ctrl+u", *"payload.fa", "tab")
        assert seen.main.query_one(FilterBar).query_one(Input).value == "payload.failures:"


async def test_the_status_says_whether_what_a_filter_hides_is_linked(tmp_path: Path) -> None:
    log = make_log(20)
    async with console(log, tmp_path) as seen:
        await filter_by(seen, "kind:request_denied")
        await seen.until(lambda: "3 of 20 shown, the hidden ones checked" in seen.status)
        log.append("other", "cron")
        log.raw[20] = tampered(log.raw[20], source="mallory")
        await seen.until(lambda: "3 of 21 shown, the hidden ones not all checked" in seen.status)
        assert seen.ids == [2, 9, 16]


# The mouse


async def test_a_click_moves_the_cursor_and_pauses(tmp_path: Path) -> None:
    log = make_log(100)
    async with console(log, tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 100)
        clicked = list(gutters(seen))[9]
        await seen.pilot.click(EventTable, offset=(12, 10))
        await seen.until(lambda: seen.cursor == clicked != 100)
        await seen.until(lambda: "PAUSED" in seen.status)
        log.append()
        await seen.until(lambda: seen.main.session.view.waiting == 1)
        assert seen.cursor == clicked
        assert isinstance(seen.app.screen, MainScreen)


async def test_a_double_click_opens_the_event(tmp_path: Path) -> None:
    async with console(make_log(100), tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 100)
        clicked = list(gutters(seen))[9]
        await seen.pilot.double_click(EventTable, offset=(12, 10))
        await seen.until(lambda: isinstance(seen.app.screen, DetailScreen))
        await seen.until(lambda: any(line.lstrip().startswith(f"#{clicked} ") for line in seen.drawn))


async def test_the_wheel_moves_three_lines_either_way(tmp_path: Path) -> None:
    async with console(make_log(100), tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 100)
        for turn, event_id in [(MouseScrollUp, 97), (MouseScrollUp, 94), (MouseScrollDown, 97)]:
            await seen.pilot._post_mouse_events([turn], EventTable, offset=(12, 10))
            await seen.until(lambda: seen.cursor == event_id)  # noqa: B023 - awaited at once
        assert not seen.main.session.view.following


# The bell


def test_the_bell_rings_once_for_a_break_however_often_a_verdict_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rung: list[str] = []
    monkeypatch.setattr(ConsoleApp, "bell", lambda app: rung.append(app.badge_text))

    async def main() -> None:
        log = make_log(50)
        async with console(log, tmp_path, verify_every_s=0.2) as seen:
            await seen.until(lambda: "VERIFIED" in seen.app.badge_text)
            log.raw[41] = tampered(log.raw[41], source="mallory")
            await seen.until(lambda: bool(rung))
            walks, ticks = log.requests.count("verify"), seen.main._ticks
            await seen.until(lambda: log.requests.count("verify") > walks + 2 and seen.main._ticks > ticks + 20)

    run(main)
    assert len(rung) == 1
    assert "BROKEN at #42" in rung[0]
