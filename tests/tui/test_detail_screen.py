from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from textual.app import App
from textual.pilot import Pilot
from textual.widgets import Static

from audit_stream.canonical import canonical_event
from audit_stream.client import RawEvent
from audit_stream.kinds import DEFAULT_KINDS
from audit_tui.model.rows import Check, Row, read_row
from audit_tui.screens.detail import DetailScreen
from audit_tui.widgets.bytes_view import BytesView
from audit_tui.widgets.json_tree import JsonTree
from tests.tui.fake_log import FakeLog, chained, make_log, tampered


class DetailApp(App[None]):
    """Opens the detail of an event; without `knows_before` the screen has to fetch the one before."""

    def __init__(self, log: FakeLog, event_id: int, *, knows_before: bool = False) -> None:
        super().__init__()
        row = self.row_of(log, event_id)
        before = self.row_of(log, event_id - 1) if knows_before else None
        self.detail = DetailScreen(
            row,
            before,
            url=log.url,
            log=log,
            kinds=DEFAULT_KINDS,
            on_filter=lambda term: self.wanted.append(("filter", term)),
            on_mark=lambda row: self.wanted.append(("mark", row.event_id)),
            on_note=lambda row: self.wanted.append(("note", row.event_id)),
        )
        self.wanted: list[tuple[str, str | int]] = []

    def row_of(self, log: FakeLog, event_id: int) -> Row:
        return read_row(RawEvent(log.raw[event_id - 1]), DEFAULT_KINDS)

    def on_mount(self) -> None:
        self.push_screen(self.detail)

    @property
    def is_open(self) -> bool:
        return self.screen is self.detail


Steps = Callable[[Pilot[None], DetailApp], Awaitable[None]]


def run(app: DetailApp, steps: Steps, *, size: tuple[int, int] = (120, 40)) -> DetailApp:
    async def main() -> None:
        async with app.run_test(size=size) as pilot:
            await settled(pilot, app)
            await steps(pilot, app)

    asyncio.run(main())
    return app


async def settled(pilot: Pilot[None], app: DetailApp) -> None:
    await pilot.pause()
    await app.workers.wait_for_complete()
    await pilot.pause()


async def press(pilot: Pilot[None], app: DetailApp, *keys: str) -> None:
    await pilot.press(*keys)
    await settled(pilot, app)


def shown(app: DetailApp, name: str) -> str:
    return str(app.detail.query_one(f"#{name}", Static).content)


def visible(app: DetailApp) -> set[str]:
    return {name for name in ("payload", "bytes", "hashes") if app.detail.query_one(f"#{name}").display}


def with_payload(payload: dict[str, Any], kind: str = "other", source: str = "cron") -> FakeLog:
    return FakeLog(list(chained([(kind, source, payload)])))


def test_it_says_which_event_it_is_and_that_it_holds() -> None:
    async def steps(pilot: Pilot[None], app: DetailApp) -> None:
        first, second = shown(app, "header").splitlines()
        assert first.split() == ["#2", "warning", "request_denied", "policy-as-code-engine"]
        assert second.startswith("2026-05-28 20:26:41.000 UTC")
        assert shown(app, "verdict") == "✓ linked"

    log = make_log(3)
    run(DetailApp(log, 2, knows_before=True), steps)
    assert log.requests == []


def test_the_link_is_checked_once_the_event_before_has_come() -> None:
    async def steps(pilot: Pilot[None], app: DetailApp) -> None:
        assert shown(app, "verdict") == "✓ linked"
        assert "✓ equal: nothing was taken out" in shown(app, "hashes-text")

    log = make_log(3)
    run(DetailApp(log, 2), steps)
    assert log.requests == ["event 1"]


def test_an_event_before_that_is_missing_is_said_to_be() -> None:
    async def steps(pilot: Pilot[None], app: DetailApp) -> None:
        assert "not checked" in shown(app, "verdict")
        assert "there is no event #2 here" in shown(app, "hashes-text")

    log = make_log(3)
    app = DetailApp(log, 3)
    del log.raw[1]
    run(app, steps)


def test_a_daemon_that_is_away_leaves_the_event_open() -> None:
    async def steps(pilot: Pilot[None], app: DetailApp) -> None:
        assert "no daemon answers" in shown(app, "hashes-text")
        await press(pilot, app, "full_stop")
        assert "no daemon answers" in shown(app, "said")
        assert app.detail.row.event_id == 2

    log = make_log(3)
    log.go_away()
    run(DetailApp(log, 2), steps)


def test_an_edited_event_is_broken_in_words() -> None:
    async def steps(pilot: Pilot[None], app: DetailApp) -> None:
        assert shown(app, "verdict").startswith("✗ BROKEN: the hash does not fit")
        assert "✗ NOT equal: these are not the bytes" in shown(app, "hashes-text")

    log = make_log(3)
    log.raw[1] = tampered(log.raw[1], source="someone")
    run(DetailApp(log, 2), steps)


def test_an_event_after_another_one_is_broken_in_words() -> None:
    async def steps(pilot: Pilot[None], app: DetailApp) -> None:
        assert "prev_hash is not the hash of the event before" in shown(app, "verdict")
        assert "does not follow" in shown(app, "hashes-text")

    log = make_log(2)
    log.raw[0] = next(chained([("other", "cron", {"rewritten": True})]))
    run(DetailApp(log, 2), steps)


def test_keys_and_clicks_show_the_sections() -> None:
    async def steps(pilot: Pilot[None], app: DetailApp) -> None:
        assert visible(app) == {"payload"}
        await press(pilot, app, "2")
        assert visible(app) == {"bytes"}
        assert isinstance(app.focused, BytesView)
        await press(pilot, app, "3")
        assert visible(app) == {"hashes"}
        await pilot.click("#tab-payload")
        await settled(pilot, app)
        assert visible(app) == {"payload"}
        assert isinstance(app.focused, JsonTree)

    run(DetailApp(make_log(2), 2), steps)


def test_a_hash_fits_a_line_of_eighty_columns() -> None:
    async def steps(pilot: Pilot[None], app: DetailApp) -> None:
        await press(pilot, app, "3")
        lines = [strip.text for strip in app.screen._compositor.render_strips()]
        assert any(f"computed  {app.detail.row.hash}" in line for line in lines)

    run(DetailApp(make_log(2), 2), steps, size=(80, 24))


def test_wide_screens_have_the_tree_and_the_hashes_side_by_side() -> None:
    async def steps(pilot: Pilot[None], app: DetailApp) -> None:
        assert visible(app) == {"payload", "hashes"}
        await press(pilot, app, "3")
        assert visible(app) == {"payload", "hashes"}
        await pilot.resize_terminal(80, 24)
        await settled(pilot, app)
        assert visible(app) == {"hashes"}

    run(DetailApp(make_log(2), 2), steps, size=(200, 50))


def test_the_bytes_are_those_served_and_those_hashed() -> None:
    log = make_log(2)

    async def steps(pilot: Pilot[None], app: DetailApp) -> None:
        await press(pilot, app, "2")
        text = "".join(app.detail.query_one(BytesView).lines)
        assert log.raw[1].decode() in text
        assert canonical_event(log.raw[1]).decode() in text
        assert f"As served, {len(log.raw[1])} bytes" in text

    run(DetailApp(log, 2), steps, size=(60, 20))


@pytest.mark.parametrize(
    ("start", "key", "event_id"),
    [
        (9, "left_square_bracket", 8),  # of policy-as-code-engine there are 1, 2, 8, 9, 15, ...
        (8, "left_square_bracket", 2),
        (2, "right_square_bracket", 8),
        (5, "comma", 4),
        (5, "full_stop", 6),
    ],
)
def test_jumps_lead_to_neighbours(start: int, key: str, event_id: int) -> None:
    async def steps(pilot: Pilot[None], app: DetailApp) -> None:
        await press(pilot, app, key)
        assert app.detail.row.event_id == event_id
        assert shown(app, "header").startswith(f"#{event_id} ")
        assert shown(app, "verdict") == "✓ linked"
        assert shown(app, "said") == ""
        assert app.detail.row.check in (Check.LINKED, Check.GAP)

    run(DetailApp(make_log(16), start), steps)


def test_jumps_follow_the_value_under_the_cursor() -> None:
    async def steps(pilot: Pilot[None], app: DetailApp) -> None:
        tree = app.detail.query_one(JsonTree)
        await press(pilot, app, "down")
        assert tree.path == ("bundle_id",)
        await press(pilot, app, "right_curly_bracket")
        assert app.detail.row.event_id == 9
        assert (tree.path, tree.value) == (("bundle_id",), "学生")
        await press(pilot, app, "left_curly_bracket")
        assert app.detail.row.event_id == 2

    run(DetailApp(make_log(16), 2), steps)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("full_stop", "no later event"),
        ("right_square_bracket", "no later event of this source"),
        ("right_curly_bracket", "move to a field of the payload first"),
    ],
)
def test_where_there_is_nothing_it_says_so(key: str, words: str) -> None:
    async def steps(pilot: Pilot[None], app: DetailApp) -> None:
        await press(pilot, app, key)
        assert shown(app, "said") == words
        assert app.detail.row.event_id == 2

    run(DetailApp(make_log(2), 2), steps)


def test_the_value_under_the_cursor_is_shown_in_full_and_safe() -> None:
    value = "x" * 300 + "\x1b]0;owned\x07"

    async def steps(pilot: Pilot[None], app: DetailApp) -> None:
        await press(pilot, app, "down")
        text = shown(app, "value-text")
        assert text.startswith('payload."k [b]" = "xxx')
        assert text.endswith('\\u001b]0;owned\\u0007"')

    run(DetailApp(with_payload({"k [b]": value}), 1), steps)


def test_the_event_a_field_and_a_curl_line_are_copied() -> None:
    log = with_payload({"s": 'a "string"', "o": {"n": [2**70]}})

    async def steps(pilot: Pilot[None], app: DetailApp) -> None:
        await press(pilot, app, "c")
        assert app.clipboard == log.raw[0].decode()
        assert shown(app, "said") == "copied event #1"
        # Canonical keys are sorted: o, n, 0, s.
        await press(pilot, app, "end", "y")
        assert app.clipboard == 'a "string"'
        await press(pilot, app, "home", "down", "y")
        assert json.loads(app.clipboard) == {"n": [2**70]}
        await press(pilot, app, "C")
        assert app.clipboard == "curl -fsS http://fake.test:8093/events/1"

    run(DetailApp(log, 1), steps)


def test_a_large_copy_says_that_terminals_may_refuse_it() -> None:
    async def steps(pilot: Pilot[None], app: DetailApp) -> None:
        await press(pilot, app, "y")
        assert len(app.clipboard) > 100_000
        assert "terminals refuse" in shown(app, "said")

    run(DetailApp(with_payload({"l": [[[1]] * 8] * 500}), 1), steps)


def test_a_file_has_no_curl_line_to_copy() -> None:
    async def steps(pilot: Pilot[None], app: DetailApp) -> None:
        await press(pilot, app, "C")
        assert app.clipboard == ""
        assert "this is a file" in shown(app, "said")

    run(DetailApp(make_log(1, url="/var/lib/events.db"), 1), steps)


@pytest.mark.parametrize(("key", "term"), [("i", "payload.decision:deny"), ("x", "-payload.decision:deny")])
def test_filtering_by_the_field_closes(key: str, term: str) -> None:
    async def steps(pilot: Pilot[None], app: DetailApp) -> None:
        await press(pilot, app, "down", "down", key)
        assert not app.is_open

    app = run(DetailApp(make_log(2), 2), steps)
    assert app.wanted == [("filter", term)]


def test_the_whole_payload_is_nothing_to_filter_by() -> None:
    async def steps(pilot: Pilot[None], app: DetailApp) -> None:
        await press(pilot, app, "i")
        assert app.is_open
        assert "move to a field" in shown(app, "said")

    assert run(DetailApp(make_log(2), 2), steps).wanted == []


def test_a_mark_and_a_note_are_asked_for_the_event_shown() -> None:
    async def steps(pilot: Pilot[None], app: DetailApp) -> None:
        await press(pilot, app, "full_stop", "m", "M")

    app = run(DetailApp(make_log(3), 2), steps)
    assert app.wanted == [("mark", 3), ("note", 3)]


@pytest.mark.parametrize("key", ["escape", "q"])
def test_it_closes(key: str) -> None:
    async def steps(pilot: Pilot[None], app: DetailApp) -> None:
        await press(pilot, app, key)
        assert not app.is_open

    run(DetailApp(make_log(2), 2), steps)


@pytest.mark.parametrize("size", [(20, 5), (80, 24), (200, 50)])
def test_every_section_of_hostile_events_draws_at_every_size(size: tuple[int, int]) -> None:
    nested: object = "漢字\u202e"
    for _ in range(120):
        nested = {"k\u200b": nested}
    log = with_payload({"deep": nested, "long": "x" * 50_000, "[b]": "[red]\x1b[2J"})

    async def steps(pilot: Pilot[None], app: DetailApp) -> None:
        for key in ("1", "end", "pageup", "2", "end", "3", "end", "1"):
            await press(pilot, app, key)
        await pilot.resize_terminal(20, 5)
        await settled(pilot, app)
        await pilot.resize_terminal(*size)
        await press(pilot, app, "down")
        screen = "\n".join(strip.text for strip in app.screen._compositor.render_strips())
        assert "\x1b" not in screen
        assert "\u202e" not in screen
        assert "1 Payload" in screen
        tree = app.detail.query_one(JsonTree)
        assert tree.scroll_offset.y <= tree.cursor < tree.scroll_offset.y + tree.size.height

    run(DetailApp(log, 1), steps, size=size)
