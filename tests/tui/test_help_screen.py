from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Static

from audit_tui.screens.help import HelpScreen, grouped_keys


class Panel(Static, can_focus=True):
    BINDING_GROUP_TITLE = "Panel"
    BINDINGS = [  # noqa: RUF012 - Textual's own convention
        Binding("up,k", "up", "Line up", show=False),
        Binding("z", "nothing"),
    ]

    def action_up(self) -> None: ...


class OrdersScreen(Screen[None]):
    BINDINGS = [  # noqa: RUF012 - Textual's own convention
        Binding("m", "mark", "Mark [b]it[/b]", id="mark"),
        Binding("x", "off", "Disabled"),
    ]

    def compose(self) -> ComposeResult:
        yield Panel("here")

    def action_mark(self) -> None: ...

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "off"


class HelpApp(App[None]):
    BINDINGS = [Binding("question_mark", "help", "Help", id="help", key_display="?")]  # noqa: RUF012 - as above

    def on_mount(self) -> None:
        self.push_screen(OrdersScreen())

    def action_help(self) -> None:
        self.push_screen(HelpScreen.of(self.screen))


def run(steps: Callable[[Pilot[None], HelpApp], Awaitable[None]], *, size: tuple[int, int] = (80, 40)) -> None:
    async def main() -> None:
        app = HelpApp()
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await steps(pilot, app)

    asyncio.run(main())


def text_of(app: HelpApp) -> str:
    return str(app.screen.query_one(Static).content)


def test_it_shows_what_is_bound_here_and_everywhere() -> None:
    async def steps(pilot: Pilot[None], app: HelpApp) -> None:
        await pilot.press("question_mark")
        await pilot.pause()
        lines = [line.rstrip() for line in text_of(app).splitlines()]
        assert lines.index("Orders") < lines.index("Panel") < lines.index("Everywhere")
        assert any(line.split() == ["m", "Mark", "[b]it[/b]"] for line in lines)
        assert any(line.split() == ["↑", "k", "Line", "up"] for line in lines)
        assert any(line.split() == ["?", "Help"] for line in lines)
        assert "Disabled" not in text_of(app)

    run(steps)


def test_remapped_keys_are_shown_as_they_are_now() -> None:
    async def steps(pilot: Pilot[None], app: HelpApp) -> None:
        app.set_keymap({"mark": "f5", "help": "h"})
        await pilot.press("h")
        await pilot.pause()
        assert any(line.split()[:2] == ["f5", "Mark"] for line in text_of(app).splitlines())
        await pilot.press("h")
        await pilot.pause()
        assert isinstance(app.screen, OrdersScreen)

    run(steps)


@pytest.mark.parametrize("key", ["escape", "question_mark", "q"])
def test_it_closes(key: str) -> None:
    async def steps(pilot: Pilot[None], app: HelpApp) -> None:
        await pilot.press("question_mark")
        await pilot.pause()
        await pilot.press(key)
        await pilot.pause()
        assert isinstance(app.screen, OrdersScreen)

    run(steps)


def test_it_scrolls_on_a_tiny_screen() -> None:
    async def steps(pilot: Pilot[None], app: HelpApp) -> None:
        await pilot.press("question_mark")
        await pilot.pause()
        box = app.screen.query("VerticalScroll").first()
        await pilot.press("down", "down")
        await pilot.wait_for_scheduled_animations()
        assert box.scroll_offset.y > 0

    run(steps, size=(20, 5))


def test_a_screen_without_described_keys_has_no_groups() -> None:
    assert grouped_keys("Orders", {}, str) == {}


def test_what_every_screen_has_from_textual_does_not_come_before_its_own_keys() -> None:
    async def steps(pilot: Pilot[None], app: HelpApp) -> None:
        groups = grouped_keys("Orders", app.screen.active_bindings, app.get_key_display)
        assert [description for _, description in groups["Orders"]] == ["Mark [b]it[/b]"]
        assert "Focus Next" in [description for _, description in groups["Everywhere"]]

    run(steps)
