"""What a person does with events that the log no longer holds: looks, exports, silences, accepts."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.widgets import Static

from audit_stream.chain import Verdict
from audit_tui.cli.check import check_file
from audit_tui.screens.gone import GoneScreen
from audit_tui.storage.heads import HeadMemory
from tests.tui.fake_log import FakeLog, make_log, tampered
from tests.tui.test_cuts import branch
from tests.tui.test_main_screen import Console, console


@asynccontextmanager
async def cut_log(tmp_path: Path, *, appended: int = 20) -> AsyncIterator[tuple[Console, FakeLog, list[bytes]]]:
    """A console before which a log of 100 events came back with the first 60 and others after them."""
    log = make_log(100)
    whole = list(log.raw)
    async with console(log, tmp_path / "state", verify_every_s=0.2) as seen:
        await seen.until(lambda: "VERIFIED" in seen.app.badge_text)
        log.go_away()
        await seen.until(lambda: "retrying" in seen.status)
        log.replace(branch(whole[:60], appended, "new"))
        log.come_back()
        await seen.until(lambda: bool(seen.main.session.cuts.rows) and seen.ids == list(range(1, 61 + appended)))
        await seen.until(lambda: seen.app.badge_text == "REWRITTEN at #61")
        yield seen, log, whole


def text(seen: Console, name: str) -> str:
    return str(seen.app.screen.query_one(f"#{name}", Static).content)


async def open_gone(seen: Console) -> GoneScreen:
    await seen.keys("b")
    await seen.until(lambda: type(seen.app.screen).__name__ == "IntegrityScreen")
    await seen.keys("g")
    await seen.until(lambda: isinstance(seen.app.screen, GoneScreen))
    screen = seen.app.screen
    assert isinstance(screen, GoneScreen)
    return screen


async def test_the_integrity_screen_says_what_is_gone_and_what_brackets_the_cut(tmp_path: Path) -> None:
    async with cut_log(tmp_path) as (seen, _, whole):
        await seen.keys("b")
        await seen.until(lambda: type(seen.app.screen).__name__ == "IntegrityScreen")
        said = text(seen, "gone")
        assert "✗ 40 events, #61 to #100, are gone" in said
        assert "the log holds other events now under #61 to #80" in said
        assert f"the last that is still there  #60 {json.loads(whole[59])['hash'][:12]}" in said
        assert f"the last that was there       #100 {json.loads(whole[99])['hash'][:12]}" in said
        assert "known to be there until" in said
        assert "the log's last event then     #80" in said
        assert "received here                 by " in said
        assert "copies in this console        40, in no file yet" in said


async def test_the_copies_are_listed_and_open_as_events_that_are_no_longer_in_the_log(tmp_path: Path) -> None:
    async with cut_log(tmp_path) as (seen, _, _):
        screen = await open_gone(seen)
        assert "No longer in the log, 40 copies here" in text(seen, "about")
        table = screen._table
        lines = [table.render_line(y).text for y in range(table.size.height)]
        assert " 61 " in lines[1]
        await seen.keys("down", "enter")
        await seen.until(lambda: type(seen.app.screen).__name__ == "DetailScreen")
        assert any("no longer in the log: this is the copy that was received here" in line for line in seen.drawn)
        assert any("#62" in line for line in seen.drawn)


async def test_the_copies_are_written_as_they_were_served_and_as_evidence_that_anybody_can_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    async with cut_log(tmp_path) as (seen, _, whole):
        await open_gone(seen)
        await seen.keys("e")
        lines = tmp_path / "audit-stream-gone-61-100.jsonl"
        await seen.until(lambda: seen.main.session.cuts.unsaved == 0)
        assert lines.read_bytes() == b"".join(raw + b"\n" for raw in whole[60:])
        await seen.keys("E")
        bundle = tmp_path / "audit-stream-evidence-gone-61-100.json"
        await seen.until(bundle.exists)
        await seen.keys("E")
        await seen.until((tmp_path / "audit-stream-evidence-gone-61-100-1.json").exists)
        out = io.StringIO()
        assert check_file(bundle, out=out) == 0
        assert out.getvalue().startswith("INTACT, linked to the head #100: 40 selected events, 40 in the bundle")
        assert check_file(lines, out=out) == 0


async def test_leaving_is_asked_twice_while_the_only_copies_are_in_no_file(tmp_path: Path) -> None:
    async with cut_log(tmp_path) as (seen, _, _):
        await seen.keys("q")
        assert any("the only copies of 40 vanished events are in no file" in said for said in seen.said)
        assert seen.app.is_running
        await seen.keys("q")
        await seen.until(lambda: not seen.app.is_running)


async def test_acknowledging_silences_and_accepts_nothing(tmp_path: Path) -> None:
    async with cut_log(tmp_path) as (seen, log, _):
        await seen.keys("a")
        assert seen.app.badge_text == "REWRITTEN at #61 · acknowledged"
        assert any("acknowledged, not accepted" in said for said in seen.said)
        verdicts = log.requests.count("verify")
        await seen.until(lambda: log.requests.count("verify") > verdicts + 1)
        assert seen.app.badge_text == "REWRITTEN at #61 · acknowledged"
        assert seen.app.user_data.heads.accepted(log.url) == ()


async def test_accepting_names_the_consequences_and_wants_a_word(tmp_path: Path) -> None:
    async with cut_log(tmp_path) as (seen, log, _):
        for leave in ("escape", "enter"):
            await seen.keys("A")
            await seen.until(lambda: type(seen.app.screen).__name__ == "AcceptScreen")
            drawn = text(seen, "consequences")
            assert "40 events, #61 to #100, are gone" in drawn
            assert "The log ends now with #80" in drawn
            assert "the newest #100" in drawn
            assert "the copies of 40 events that are gone, until this console is closed" in drawn
            assert "40 events would be only here, and in no file" in drawn
            await seen.keys("y", "e", "s", leave)
            await seen.keys("escape")
            await seen.until(lambda: type(seen.app.screen).__name__ == "MainScreen")
            assert seen.app.user_data.heads.accepted(log.url) == ()
        await seen.keys("b")
        await seen.until(lambda: type(seen.app.screen).__name__ == "IntegrityScreen")
        await seen.keys("A")  # from here too
        await seen.until(lambda: type(seen.app.screen).__name__ == "AcceptScreen")
        await seen.keys(*"accept", "enter")
        await seen.until(lambda: "VERIFIED 80 events" in seen.app.badge_text)
        assert len(seen.main.session.cuts.rows) == 40
        (accepted,) = HeadMemory(tmp_path / "state").accepted(log.url)
        assert accepted.event_id == 80
        assert accepted.given_up is not None
        assert accepted.given_up.event_id == 100


async def test_the_question_is_headed_by_what_was_rewritten_when_the_badge_says_something_worse(tmp_path: Path) -> None:
    async with cut_log(tmp_path) as (seen, log, _):
        log.raw[4] = tampered(log.raw[4], source="me")
        log.verdict = Verdict(valid=True, checked=80, first_break_at=None, reason=None, head=log.head)
        await seen.main.session.pages.show_around(5)
        await seen.until(lambda: seen.app.badge_text == "BROKEN at #5 · they disagree")
        await seen.keys("A")
        await seen.until(lambda: type(seen.app.screen).__name__ == "AcceptScreen")
        assert text(seen, "consequences").splitlines()[0] == "REWRITTEN at #61"


async def test_there_is_nothing_to_accept_of_a_history_that_holds_or_is_only_broken(tmp_path: Path) -> None:
    log = make_log(10)
    async with console(log, tmp_path, verify_every_s=0.2) as seen:
        await seen.until(lambda: "VERIFIED" in seen.app.badge_text)
        await seen.keys("A")
        await seen.until(lambda: any("there is nothing to accept" in said for said in seen.said))
        log.raw[4] = tampered(log.raw[4], source="me")
        await seen.until(lambda: "BROKEN" in seen.app.badge_text)
        await seen.keys("A")
        assert type(seen.app.screen).__name__ == "MainScreen"


async def test_copies_can_be_told_from_events_of_the_log_in_every_theme(tmp_path: Path) -> None:
    async with cut_log(tmp_path) as (seen, _, _):
        main_table = seen.main.table
        for theme in ("textual-dark", "textual-light", "ansi-dark", "ansi-light"):
            seen.app.theme = theme
            await seen.pilot.pause()
            there = main_table.get_component_rich_style("event-table--critical")
            screen = await open_gone(seen)
            await seen.pilot.pause()
            gone = screen._table.get_component_rich_style("event-table--critical")
            plain = screen._table.get_component_rich_style("event-table--header")
            assert gone != there
            assert gone.color != plain.color or gone.dim
            await seen.keys("escape", "escape")
            await seen.until(lambda: type(seen.app.screen).__name__ == "MainScreen")
