"""Several daemons in one console, and what goes from one session to the next."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input

from audit_stream.errors import ClientError
from audit_tui.app import ConsoleApp, Opening, _notification
from audit_tui.log import Log
from audit_tui.storage.config import Config, Profile
from audit_tui.user_data import UserData
from audit_tui.widgets.said import Said
from tests.tui.fake_log import FakeLog, make_log, tampered
from tests.tui.test_main_screen import Console, console

ONE, OTHER = "http://one.test:8093", "http://other.test:8093"


@asynccontextmanager
async def consoles(
    logs: dict[str, FakeLog], tmp_path: Path, *, config: Config | None = None, answers: bool = True, **opening: Any
) -> AsyncIterator[Console]:
    """A console that can open any of the logs; it begins with the first."""

    async def open_log(url: str) -> Log:
        if url not in logs:
            raise ClientError(f"{url} is no address")
        return logs[url]

    user_data = UserData(config or Config(), tmp_path)
    user_data.load()
    app = ConsoleApp(Opening(url=next(iter(logs)), open_log=open_log, **opening), user_data)
    async with app.run_test(size=(120, 40)) as pilot:
        seen = Console(app, pilot)
        await seen.until(lambda: bool(seen.ids) or not answers)
        yield seen


def two_logs() -> dict[str, FakeLog]:
    logs = {ONE: make_log(20), OTHER: make_log(50)}
    for url, log in logs.items():
        log._url = url
    return logs


async def switch(seen: Console, url: str) -> None:
    before = seen.main
    await seen.keys("d")
    await seen.until(lambda: type(seen.app.screen).__name__ == "ProfilesScreen")
    seen.app.screen.query_one(Input).value = url
    await seen.keys("enter")
    await seen.until(lambda: type(seen.app.screen).__name__ == "MainScreen" and seen.main is not before)


async def test_another_daemon_is_opened_by_a_key_and_each_keeps_its_filter(tmp_path: Path) -> None:
    async with consoles(two_logs(), tmp_path, filter="kind:request_denied") as seen:
        assert seen.main.session.view.filter_text == "kind:request_denied"
        await switch(seen, OTHER)
        await seen.until(lambda: seen.cursor == 50)
        assert seen.main.session.view.filter_text == ""  # what was given on the command line is the first one's
        seen.main.filters.apply("kind:breaker_opened")
        await switch(seen, ONE)
        await seen.until(lambda: bool(seen.ids))
        assert seen.main.session.view.filter_text == "kind:request_denied"
        await switch(seen, OTHER)
        assert seen.main.session.view.filter_text == "kind:breaker_opened"


async def test_where_a_switch_fails_one_stays_where_one_was(tmp_path: Path) -> None:
    logs = two_logs()
    async with consoles(logs, tmp_path) as seen:
        await switch(seen, OTHER)
        await seen.until(lambda: seen.cursor == 50)
        await switch(seen, "http://nowhere.test")
        await seen.until(lambda: seen.cursor == 50)
        assert seen.main.session.log is logs[OTHER]
        assert "http://nowhere.test is no address" in seen.said


@pytest.mark.parametrize("key", ["d", "equals_sign"])
async def test_a_file_where_a_daemon_is_asked_for_is_taken_for_no_host(key: str, tmp_path: Path) -> None:
    async with consoles(two_logs(), tmp_path) as seen:
        await seen.keys(key)
        screen = seen.app.screen
        screen.query_one(Input).value = "audit.db"
        await seen.keys("enter")
        assert "audit.db is no address, and there is no such file" in str(screen.query_one(Said).content)
        assert seen.app.screen is screen


async def test_a_file_has_no_other_daemon_to_switch_to(tmp_path: Path) -> None:
    async with console(make_log(5), tmp_path, is_offline=True) as seen:
        await seen.keys("d")
        assert type(seen.app.screen).__name__ == "MainScreen"
        assert "a file has no other daemons to switch to" in seen.said


@pytest.mark.parametrize("url", ["other.test:8093", f"{OTHER}/", f"{OTHER}/events"])
@pytest.mark.parametrize(("given", "every_s"), [(None, 60.0), (5.0, 5.0)])
async def test_a_profile_says_how_often_its_daemon_is_verified_unless_the_command_line_does(
    url: str, given: float | None, every_s: float, tmp_path: Path
) -> None:
    config = Config(profiles={"other": Profile(url=url, verify_every=60.0), "bad": Profile(url="http://a:999999")})
    async with consoles(two_logs(), tmp_path, config=config, verify_every_s=given) as seen:
        assert seen.main.session.integrity.verdicts.period_s == (given or 30.0)
        await switch(seen, OTHER)
        assert seen.main.session.integrity.verdicts.period_s == every_s


async def break_it(seen: Console, log: FakeLog) -> None:
    await seen.until(lambda: "VERIFIED" in seen.app.badge_text)
    log.raw[4] = tampered(log.raw[4], source="mallory")
    await seen.keys("v")
    await seen.until(lambda: seen.app.badge_text.startswith("BROKEN at #5"))


async def test_a_red_badge_that_nobody_acknowledged_outlives_the_session_and_a_repair(tmp_path: Path) -> None:
    log = make_log(20)
    whole = list(log.raw)
    async with console(log, tmp_path) as seen:
        await break_it(seen, log)
        await seen.keys("q")
    log.raw[:] = whole
    rung: list[str] = []
    async with console(log, tmp_path) as seen:
        seen.app.bell = lambda: rung.append(seen.app.badge_text)  # type: ignore[method-assign]
        await seen.until(lambda: seen.app.badge_text == "was BROKEN at #5, holds again: acknowledge")
        await seen.until(lambda: bool(rung))
        await seen.keys("a")
        await seen.until(lambda: "VERIFIED" in seen.app.badge_text)
        await seen.keys("q")
    async with console(log, tmp_path) as seen:
        await seen.until(lambda: "VERIFIED" in seen.app.badge_text)


async def test_a_red_badge_that_nobody_acknowledged_is_there_again_after_a_switch(tmp_path: Path) -> None:
    logs = two_logs()
    async with consoles(logs, tmp_path) as seen:
        whole = list(logs[ONE].raw)
        await break_it(seen, logs[ONE])
        await switch(seen, OTHER)
        logs[ONE].raw[:] = whole
        await seen.until(lambda: "VERIFIED" in seen.app.badge_text)
        await switch(seen, ONE)
        await seen.until(lambda: seen.app.badge_text.startswith("was BROKEN at #5"))


async def test_before_the_first_verdict_a_break_of_the_last_session_is_not_said_to_hold_again(tmp_path: Path) -> None:
    log = make_log(20)
    async with console(log, tmp_path) as seen:
        await break_it(seen, log)
        await seen.keys("q")
    log.fail_with(ClientError("away"))
    async with consoles({log.url: log}, tmp_path, answers=False) as seen:
        assert seen.app.badge_text == "was BROKEN at #5 last time: acknowledge"


OPENS: dict[str, str] = {
    "g": "GoToScreen",
    "e": "ExportScreen",
    "F": "NamedFiltersScreen",
    "M": "NoteScreen",
    "D": "HandoverScreen",
    "d": "ProfilesScreen",
    "enter": "DetailScreen",
    "b": "IntegrityScreen",
    "question_mark": "HelpScreen",
    "ctrl+p": "Palette",
    "slash": "MainScreen",
    "f": "MainScreen",
}


@pytest.mark.parametrize("key", OPENS)
async def test_ctrl_c_ends_the_console_wherever_one_is(key: str, tmp_path: Path) -> None:
    async with console(make_log(20), tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 20)
        await seen.keys(key)
        await seen.until(lambda: type(seen.app.screen).__name__ == OPENS[key])
        await seen.keys("ctrl+c")
        await seen.until(lambda: not seen.app.is_running)


async def test_ctrl_c_copies_what_is_selected_in_a_field_and_goes_on(tmp_path: Path) -> None:
    async with console(make_log(20), tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 20)
        await seen.keys("slash", *"kind", "shift+home", "ctrl+c")
        assert seen.app.clipboard == "kind"
        assert seen.app.is_running


@pytest.mark.parametrize(
    ("key", "of"), [("D", "Handover"), ("F", "Named filters"), ("enter", "Detail"), ("b", "Integrity")]
)
async def test_a_question_mark_has_the_keys_of_whatever_screen_one_is_on(key: str, of: str, tmp_path: Path) -> None:
    async with console(make_log(20), tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 20)
        await seen.keys(key)
        opened = seen.app.screen
        await seen.keys("question_mark")
        await seen.until(lambda: any(f"Keys: {of}" in line for line in seen.drawn))
        await seen.keys("question_mark")
        await seen.until(lambda: seen.app.screen is opened)


def test_a_notification_is_wrapped_for_tmux() -> None:
    assert _notification("BROKEN at #5", tmux=False) == "\x1b]9;audit-tui: BROKEN at #5\x07"
    assert _notification("BROKEN at #5", tmux=True) == "\x1bPtmux;\x1b\x1b]9;audit-tui: BROKEN at #5\x07\x1b\\"
