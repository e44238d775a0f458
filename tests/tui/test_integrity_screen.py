from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from textual.app import App
from textual.pilot import Pilot
from textual.widgets import Static
from textual.widgets._toast import Toast

from audit_stream.chain import Head, Verdict
from audit_stream.client import RawEvent
from audit_stream.errors import ClientError
from audit_stream.kinds import DEFAULT_KINDS
from audit_tui.model.integrity import Integrity
from audit_tui.model.rows import Gap, Row, check_after, read_row
from audit_tui.screens.help import grouped_keys
from audit_tui.screens.integrity import IntegrityScreen
from audit_tui.storage.heads import RememberedHead
from tests.tui.fake_log import chained, tampered

NOW_S = 1000.0
NOW_MS = 1_700_000_000_000
TIMES: dict[str, Any] = {"now_ms": NOW_MS, "now_s": NOW_S}
HEADS = (RememberedHead(event_id=5, hash="ab" * 32, first_seen_ms=NOW_MS - 60_000, last_seen_ms=NOW_MS),)
DRAFTS: list[tuple[str, str, dict[str, Any]]] = [("other", "cron", {"i": i}) for i in range(1, 10)]
SIZES = [(80, 24), (120, 40), (20, 5)]


def row_of(raw: bytes) -> Row:
    return read_row(RawEvent(raw), DEFAULT_KINDS)


class Log:
    """Nine events; the fifth can be edited behind the hash's back, or removed."""

    def __init__(self, drafts: Sequence[tuple[str, str, dict[str, Any]]] = DRAFTS) -> None:
        self.raws = list(chained(drafts))
        self.seen = {row.event_id: row for row in map(row_of, self.raws)}
        self.integrity = Integrity(lambda event_id: self.seen[event_id].hash if event_id in self.seen else None)
        self.integrity.connected()
        self.integrity.chain_grew(1, self.head)

    @property
    def head(self) -> Head:
        return Head(9, self.seen[9].hash)

    def edit(self) -> None:
        self.raws[4] = tampered(self.raws[4], payload={"i": "\x1b[31m[b]evil"})

    def verdict(self, broken_at: int | None) -> None:
        self.integrity.verification_started(NOW_S)
        if broken_at is None:
            verdict = Verdict(valid=True, checked=9, first_break_at=None, reason=None, head=self.head)
        else:
            reason = f"hash mismatch at event #{broken_at}"
            verdict = Verdict(valid=False, checked=broken_at - 1, first_break_at=broken_at, reason=reason)
        self.integrity.verification_ended(verdict, **TIMES)

    async def around(self, event_id: int) -> list[Row]:
        rows = [row_of(raw) for raw in self.raws]
        return [row for row in rows if abs(row.event_id - event_id) <= 3]


class ScreenApp(App[None]):
    def __init__(self, log: Log, load: Callable[[int], Awaitable[Sequence[Row | Gap]]] | None = None) -> None:
        super().__init__()
        self.log_ = log
        self.load = load or log.around
        self.copied = ""
        self.posted: list[str] = []

    def on_mount(self) -> None:
        self.open()

    def open(self) -> None:
        screen = IntegrityScreen(
            self.log_.integrity,
            HEADS,
            self.load,
            stored=self.log_.seen.get,
            log="http://fake.test",
            now_s=lambda: NOW_S,
            now_ms=lambda: NOW_MS,
            verify=lambda: self.posted.append("verify"),
            acknowledge=self.acknowledge,
        )
        self.push_screen(screen)

    def copy_to_clipboard(self, text: str) -> None:
        self.copied = text

    def acknowledge(self) -> None:
        self.posted.append("acknowledge")
        self.log_.integrity.acknowledge(NOW_S)

    def text(self, name: str) -> str:
        return str(self.screen.query_one(f"#{name}", Static).content)

    @property
    def lines(self) -> list[str]:
        return ["".join(segment.text for segment in strip) for strip in self.screen._compositor.render_strips()]


def driven(
    app: ScreenApp, act: Callable[[Pilot[None]], Awaitable[None]] | None = None, size: tuple[int, int] = (120, 40)
) -> None:
    """Run the app, wait until what lies around a break is loaded, and act."""

    async def main() -> None:
        async with app.run_test(size=size, notifications=True) as pilot:
            await pilot.pause()
            await app.workers.wait_for_complete()
            await pilot.pause()
            if act is not None:
                await act(pilot)

    asyncio.run(main())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("broken_at", [None, 5, 10])
def test_every_layout_begins_with_the_badge(size: tuple[int, int], broken_at: int | None) -> None:
    log = Log()
    log.verdict(broken_at)
    app = ScreenApp(log)

    async def look(pilot: Pilot[None]) -> None:
        # Event 5 had been received whole, so that the two disagree; event 10 had not.
        assert {None: "✓ VERIFIED", 5: "✗!! BROKEN", 10: "✗! BROKEN"}[broken_at] in app.lines[0]
        assert all(len(line) == size[0] for line in app.lines)

    driven(app, look, size)


def test_a_verified_log_shows_who_checked_what_and_no_break() -> None:
    log = Log()
    log.verdict(None)
    app = ScreenApp(log)

    async def look(pilot: Pilot[None]) -> None:
        assert app.text("known").startswith(
            "daemon   valid; checked 9 events, up to #9\nconsole  received and linked #1"
        )
        assert "✓ daemon  the whole chain holds · 9 checked" in app.text("findings")
        assert app.text("heads") == "#5 abababababab since 2023-11-14 22:12:20Z, last 2023-11-14 22:13:20Z"
        assert not app.screen.query_one("#break-part").display

    driven(app, look)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
def test_an_edited_event_is_shown_field_by_field_among_its_neighbours(size: tuple[int, int]) -> None:
    log = Log()
    log.edit()
    log.verdict(5)
    app = ScreenApp(log)

    async def look(pilot: Pilot[None]) -> None:
        text = app.text("break")
        assert "Event #5: its bytes do not have the hash that it carries" in text
        assert "payload.i\n  earlier  5\n  now      " in text
        assert "\x1b" not in text
        assert [line[:2] for line in text.splitlines()[-7:]] == [" ·", " ✓", " ✓", "▶✗", " ✓", " ✓", " ✓"]
        assert app.screen.query_one("#break-part").display
        found = row_of(log.raws[4]).hash
        assert any(f"  carried  {found}" in line for line in app.lines)

    driven(app, look, size)


def test_an_event_that_is_gone_is_marked_at_its_place() -> None:
    log = Log()
    del log.raws[4]
    log.verdict(5)
    app = ScreenApp(log)

    async def look(pilot: Pilot[None]) -> None:
        assert app.text("break").splitlines()[0] == "Event #5: it is not in the log"
        assert app.text("break").splitlines()[4] == "▶✗ #5 is not in the log"

    driven(app, look)


def test_a_rewritten_history_shows_the_remembered_head_and_what_is_there_now() -> None:
    log = Log()
    log.integrity.history_differs(Head(5, "ab" * 32), Head(5, log.seen[5].hash), **TIMES)
    app = ScreenApp(log)

    async def look(pilot: Pilot[None]) -> None:
        assert f"  expected {'ab' * 32}\n  found    {log.seen[5].hash}" in app.text("break")

    driven(app, look)


def test_a_log_that_does_not_answer_still_shows_what_was_received() -> None:
    log = Log()
    bad = row_of(tampered(log.raws[4], payload={"i": 7}))
    check_after(log.seen[4], bad)
    log.integrity.found_broken(bad, log.seen[4], **TIMES)

    async def away(event_id: int) -> list[Row | Gap]:
        raise ClientError("no daemon answers [b]")

    app = ScreenApp(log, away)

    async def look(pilot: Pilot[None]) -> None:
        assert "The events around #5 cannot be loaded: no daemon answers [b]" in app.text("break")
        assert "Event #5: its bytes do not have the hash" in app.text("break")

    driven(app, look)


def test_an_event_found_broken_that_now_comes_whole_holds_again() -> None:
    log = Log()
    bad = row_of(tampered(log.raws[4], payload={"i": 7}))
    check_after(log.seen[4], bad)
    log.integrity.found_broken(bad, log.seen[4], **TIMES)
    driven(ScreenApp(log))
    assert log.integrity.badge(NOW_S).text == "was BROKEN at #5, holds again: acknowledge"


def test_the_ticket_has_the_badge_the_log_the_hashes_and_the_findings() -> None:
    log = Log()
    log.edit()
    log.verdict(5)
    app = ScreenApp(log)

    async def look(pilot: Pilot[None]) -> None:
        await pilot.press("c")
        for part in ("BROKEN at #5", "http://fake.test", "2023-11-14 22:13:20Z", "payload.i", "hash mismatch", "▶✗ #5"):
            assert part in app.copied
        assert log.seen[5].hash in app.copied
        assert all(line.isprintable() for line in app.copied.splitlines())

    driven(app, look)


def test_v_asks_for_a_verdict_and_a_acknowledges_what_is_shown() -> None:
    log = Log()
    log.verdict(5)
    app = ScreenApp(log)

    async def look(pilot: Pilot[None]) -> None:
        await pilot.press("v", "a")
        await pilot.pause()
        assert app.posted == ["verify", "acknowledge"]
        assert "acknowledged" in app.lines[0]
        assert "you     acknowledged: BROKEN at #5" in app.text("findings")
        await pilot.press("a")
        await pilot.pause()
        assert app.posted == ["verify", "acknowledge"]

    driven(app, look)


@pytest.mark.parametrize("keys", [["escape"], ["q"], ["b"], ["q", "q"], ["a", "escape"]])
def test_it_closes_and_the_console_stays(keys: list[str]) -> None:
    log = Log()
    log.verdict(5)
    app = ScreenApp(log)

    async def look(pilot: Pilot[None]) -> None:
        await pilot.press(*keys)
        await pilot.pause()
        assert not isinstance(app.screen, IntegrityScreen)
        assert app.is_running
        assert app.return_code is None

    driven(app, look)


def test_the_keys_that_scroll_have_a_title_in_the_help() -> None:
    app = ScreenApp(Log())

    async def look(pilot: Pilot[None]) -> None:
        groups = grouped_keys("Integrity", app.screen.active_bindings, app.get_key_display)
        assert set(groups) == {"Integrity", "Scroll", "Everywhere"}
        assert ("esc q b", "Close") in groups["Integrity"]

    driven(app, look)


def test_opening_it_takes_away_the_alarm_that_would_cover_what_it_is_about() -> None:
    log = Log()
    log.verdict(5)
    app = ScreenApp(log)

    async def look(pilot: Pilot[None]) -> None:
        await pilot.press("escape")
        app.notify("BROKEN at #5", timeout=600)
        await pilot.pause()
        assert app.screen.query(Toast)
        app.open()
        await pilot.pause()
        assert isinstance(app.screen, IntegrityScreen)
        assert not app.screen.query(Toast)

    driven(app, look)


def test_names_have_the_room_that_there_is_and_are_whole_in_the_ticket() -> None:
    source = "a-service-with-a-long-name/" + "x" * 60
    log = Log([("tool_invocation_required_approval", source, {"i": i}) for i in range(1, 10)])
    log.edit()
    log.verdict(5)
    app = ScreenApp(log)

    async def look(pilot: Pilot[None]) -> None:
        narrow = app.text("break").splitlines()[-1]
        assert "tool_invocation_re… a-service-wi… " in narrow
        assert len(narrow) == 77
        await pilot.resize_terminal(120, 24)
        await pilot.pause()
        wide = app.text("break").splitlines()[-1]
        assert "tool_invocation_required_approval a-service-" in wide
        assert len(wide) == 117
        await pilot.press("c")
        assert f" tool_invocation_required_approval {source} " in app.copied

    driven(app, look, (80, 24))


def test_the_next_refresh_shows_a_new_verdict_and_leaves_alone_what_is_as_it_was() -> None:
    log = Log()
    log.verdict(None)
    app = ScreenApp(log)

    async def look(pilot: Pilot[None]) -> None:
        screen = app.screen
        assert isinstance(screen, IntegrityScreen)
        heads = screen.query_one("#heads", Static).visual
        log.verdict(5)
        screen.refresh_all()
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert "BROKEN: hash mismatch at event #5" in app.text("known")
        assert "Event #5" in app.text("break")
        assert screen.query_one("#heads", Static).visual is heads

    driven(app, look)


def test_at_120_columns_findings_and_heads_are_side_by_side_and_at_80_below_each_other() -> None:
    def tops(size: tuple[int, int]) -> list[int]:
        found: list[int] = []
        log = Log()
        log.verdict(None)
        app = ScreenApp(log)

        async def look(pilot: Pilot[None]) -> None:
            found.extend(app.screen.query_one(f"#{name}").region.y for name in ("findings", "heads"))

        driven(app, look, size)
        return found

    wide, narrow = tops((120, 40)), tops((80, 24))
    assert wide[0] == wide[1]
    assert narrow[0] < narrow[1]
