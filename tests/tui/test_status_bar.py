from __future__ import annotations

import asyncio

import msgspec
import pytest
from rich.cells import cell_len
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.widgets import Static

from audit_tui.model.badge import Badge, State
from audit_tui.widgets.badge import MARKS, BadgeWidget
from audit_tui.widgets.status_bar import StatusBar, StatusParts

GOOD = Badge(state=State.VERIFIED, text="VERIFIED 12,345 events · 12 s ago", detail="Both agree.")
RED = Badge(state=State.BROKEN, text="BROKEN at #42", detail="Found by both.", event_id=42, is_alarm=True)
PARTS = StatusParts(
    daemon="http://127.0.0.1:8093",
    connection="live",
    rate_per_s=123.4,
    delay_ms=40,
    shown="12 of 3,401",
)


class BarApp(App[None]):
    opened = 0

    def compose(self) -> ComposeResult:
        yield Static("above", markup=False)
        yield StatusBar()

    def on_badge_widget_opened(self, message: BadgeWidget.Opened) -> None:
        self.opened += 1

    def bar(self, parts: StatusParts, badge: Badge) -> None:
        bar = self.query_one(StatusBar)
        bar.show_badge(badge)
        bar.show(parts)

    @property
    def line(self) -> str:
        """The bottom line of the screen."""
        return "".join(segment.text for segment in self.screen._compositor.render_strips()[-1])


def shown(size: tuple[int, int], parts: StatusParts, badge: Badge) -> str:
    async def main() -> str:
        app = BarApp()
        async with app.run_test(size=size) as pilot:
            app.bar(parts, badge)
            await pilot.pause()
            return app.line

    return asyncio.run(main())


def test_a_wide_line_says_everything_with_the_badge_at_the_right() -> None:
    line = shown((120, 40), PARTS, GOOD)
    assert line.startswith(" http://127.0.0.1:8093 ● live · 12 of 3,401 · 123/s · delay 40 ms ")
    assert line.endswith("✓ VERIFIED 12,345 events · 12 s ago ")


def test_a_narrow_line_drops_the_rest_before_the_badge() -> None:
    line = shown((60, 10), PARTS, GOOD)
    assert line.endswith("✓ VERIFIED 12,345 events · 12 s ago ")
    assert "live" in line
    assert "delay" not in line


PAUSED = "PAUSED +3,012 new, worst critical (End: live) · 2 of 3,401 shown, the hidden ones checked"


@pytest.mark.parametrize(
    ("width", "daemon", "says"),
    [
        (200, "127.0.0.1:8093", f"127.0.0.1:8093 ● live · {PAUSED} · 123/s "),
        (130, "127.0.0.1:8093", "127.0.0.1:8093 ● live · PAUSED +3,012 new, worst critical · 2 of 3,401 shown · "),
        (80, "127.0.0.1:8093", "127.0.0.1:8093 ● live · PAUSED +3,012 new "),
        (80, "/var/lib/audit-stream/audit.db", "/var/lib/audi… ● live · PAUSED +3,012 new "),
        (90, "127.0.0.1:8093", "127.0.0… ● live · PAUSED +3,012 new, worst critical "),
        (60, "127.0.0.1:8093", "● live · PAUSED "),
        (40, "127.0.0.1:8093", "● live · PAUSED "),
    ],
)
def test_little_room_makes_the_counters_short_before_they_are_left_out(width: int, daemon: str, says: str) -> None:
    line = shown((width, 5), msgspec.structs.replace(PARTS, daemon=daemon, shown=PAUSED), GOOD)
    assert line.strip().startswith(says.strip())


@pytest.mark.parametrize("width", range(20, 121, 7))
def test_the_badge_is_whole_and_the_line_exact_at_every_width(width: int) -> None:
    line = shown((width, 5), PARTS, RED)
    assert line.endswith("✗! BROKEN at #42 ")
    assert len(line) == width


CONNECTIONS = (
    ("live", "●", "ok"),
    ("catching up, 1,204,331 left", "◌", "warn"),
    ("retrying in 12 s: no daemon answers at http://10.20.0.5:8093: start one with `audit-stream`", "✗", "bad"),
    ("refused: the daemon wants a token", "✗", "bad"),
)
BADGES = (
    GOOD,
    RED,
    Badge(state=State.UNVERIFIED, text="UNVERIFIED remembered heads not compared", detail=""),
    Badge(
        state=State.BROKEN, text="BROKEN at #1,204,331, they disagree: the daemon says valid", detail="", is_alarm=True
    ),
)


async def test_at_every_width_it_says_how_the_connection_is_that_it_is_paused_and_the_badge() -> None:
    parts = msgspec.structs.replace(PARTS, shown=PAUSED)

    app = BarApp()
    async with app.run_test(size=(40, 5)) as pilot:
        for number, width in enumerate([20, *range(40, 161, 6)]):
            await pilot.resize_terminal(width, 5)
            connection, mark, style = CONNECTIONS[number % 4]
            badge = BADGES[number // 4 % 4]
            app.bar(msgspec.structs.replace(parts, connection=connection, connection_style=style), badge)
            await pilot.pause()
            assert cell_len(app.line) == width
            assert f"{mark} {connection[:4]}" in app.line or (width < 40 and mark in app.line)
            assert "· PAUSED" in app.line
            assert MARKS[badge.state] in app.line
            assert badge.text.split()[0] in app.line or width < 40


class KeysApp(BarApp):
    """An app with the bindings that the line tells, and more."""

    BINDINGS = [  # noqa: RUF012 - Textual's own convention
        Binding("slash", "bell", "Filter", id="filter", key_display="/"),
        Binding("f", "bell", "Find", id="find"),
        Binding("question_mark", "bell", "Help", id="help", key_display="?"),
        Binding("q,ctrl+q", "bell", "Quit", id="quit"),
    ]


@pytest.mark.parametrize(
    ("width", "told"),
    [
        (160, "/ filter  ? help  q quit"),
        (130, "/ filter  ? help  q quit"),
        (129, "? help  q quit"),
        (120, "? help  q quit"),
        (119, "/ ? q"),
        (111, "/ ? q"),
        (110, ""),
    ],
)
def test_the_keys_to_begin_with_stand_before_the_badge_and_go_before_the_counters_do(width: int, told: str) -> None:
    async def main() -> str:
        app = KeysApp()
        async with app.run_test(size=(width, 5)) as pilot:
            app.bar(PARTS, GOOD)
            await pilot.pause()
            return app.line

    line = asyncio.run(main())
    assert cell_len(line) == width
    between = line.partition(" · delay 40 ms")[2].removesuffix(" ✓ VERIFIED 12,345 events · 12 s ago ")
    assert between.strip() == told
    assert not told or (between.startswith("   ") and between.endswith(f"{told} "))


def test_a_key_that_was_remapped_is_told_as_it_is_now() -> None:
    async def main() -> str:
        app = KeysApp()
        app.set_keymap({"filter": "f7", "quit": "Q"})
        async with app.run_test(size=(160, 5)) as pilot:
            app.bar(PARTS, GOOD)
            await pilot.pause()
            return app.line

    line = asyncio.run(main())
    assert " f7 filter  ? help  Q quit " in line


def test_a_badge_wider_than_the_terminal_shows_its_beginning() -> None:
    assert "✓ VERIFIED" in shown((20, 5), PARTS, GOOD)


def test_the_badge_is_whole_after_it_grew_and_after_a_resize() -> None:
    async def main() -> tuple[str, str]:
        app = BarApp()
        async with app.run_test(size=(80, 24)) as pilot:
            app.bar(PARTS, RED)
            await pilot.pause()
            app.bar(PARTS, GOOD)
            await pilot.pause()
            grown = app.line
            await pilot.resize_terminal(45, 10)
            await pilot.pause()
            return grown, app.line

    for line in asyncio.run(main()):
        assert line.endswith("✓ VERIFIED 12,345 events · 12 s ago ")


def test_what_came_from_outside_is_escaped_and_no_markup() -> None:
    parts = StatusParts(daemon="[red]x\x1b[2J", connection="retrying: [b]\u202e", connection_style="bad", shown="[/]")
    line = shown((120, 5), parts, RED)
    assert "[red]x\\x1b[2J" in line
    assert "[b]\\u202e" in line
    assert "[/]" in line


def test_wide_characters_do_not_push_the_badge_out() -> None:
    parts = StatusParts(daemon="数" * 40, connection="接続中" * 10, shown="多")
    assert shown((60, 5), parts, RED).endswith("✗! BROKEN at #42 ")


def test_a_click_on_the_badge_asks_for_the_integrity_screen() -> None:
    async def main() -> int:
        app = BarApp()
        async with app.run_test(size=(80, 24)) as pilot:
            app.bar(PARTS, GOOD)
            await pilot.pause()
            await pilot.click("#badge")
            await pilot.pause()
            return app.opened

    assert asyncio.run(main()) == 1


async def test_showing_the_same_again_redraws_nothing() -> None:
    updates: list[object] = []

    class Counting(BarApp):
        def on_mount(self) -> None:
            line = self.query_one("#parts", Static)
            update = line.update
            line.update = lambda *args, **kwargs: (updates.append(args), update(*args, **kwargs))[1]  # type: ignore[method-assign, func-returns-value]  # counts

    app = Counting()
    async with app.run_test(size=(80, 24)) as pilot:
        app.bar(PARTS, GOOD)
        await pilot.pause()
        drawn = len(updates)
        app.bar(PARTS, GOOD)
        await pilot.pause()
        assert len(updates) == drawn


def test_every_state_has_a_mark_of_one_cell_and_only_the_red_ones_share_theirs() -> None:
    assert set(MARKS) == set(State)
    assert all(len(mark) == 1 for mark in MARKS.values())
    calm = [mark for state, mark in MARKS.items() if not state.is_red]
    assert len(set(calm)) == len(calm)
    assert MARKS[State.BROKEN] not in calm
