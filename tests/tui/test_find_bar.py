"""The find bar: what is looked for while typing, and how many there are."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from textual import on
from textual.app import App, ComposeResult
from textual.events import Key
from textual.pilot import Pilot
from textual.widgets import Input, Static

from audit_tui.widgets.find_bar import FindBar


class BarApp(App[None]):
    """The bar; `seen` is what it has posted."""

    def __init__(self) -> None:
        super().__init__()
        self.bar = FindBar()
        self.seen: list[tuple[str, str]] = []

    def compose(self) -> ComposeResult:
        yield self.bar
        yield Input(id="table")

    @on(FindBar.Changed)
    def _changed(self, message: FindBar.Changed) -> None:
        self.seen.append(("changed", message.text))

    @on(FindBar.Cancelled)
    def _cancelled(self) -> None:
        self.seen.append(("cancelled", ""))

    @property
    def matches(self) -> str:
        return str(self.bar.query_one("#matches", Static).content)


def run(steps: Callable[[BarApp, Pilot[None]], Awaitable[None]], size: tuple[int, int] = (80, 24)) -> None:
    async def main() -> None:
        app = BarApp()
        async with app.run_test(size=size) as pilot:
            app.bar.open(app.query_one("#table"))
            await steps(app, pilot)

    asyncio.run(main())


def test_it_tells_what_is_looked_for_while_typing_and_enter_ends_it() -> None:
    async def steps(app: BarApp, pilot: Pilot[None]) -> None:
        await pilot.press("a", "b", "enter")
        await pilot.pause()
        assert app.seen == [("changed", "a"), ("changed", "ab")]
        assert not app.bar.display
        assert app.focused is app.query_one("#table")

    run(steps)


def test_escape_cancels() -> None:
    async def steps(app: BarApp, pilot: Pilot[None]) -> None:
        await pilot.press("a", "escape")
        await pilot.pause()
        assert app.seen[-1] == ("cancelled", "")
        assert not app.bar.display

    run(steps)


def test_what_is_typed_in_one_burst_is_told_whole_and_goes_on_elsewhere_after_enter() -> None:
    async def steps(app: BarApp, pilot: Pilot[None]) -> None:
        for key in ("a", "b", "enter", "n"):
            app.post_message(Key(key, key if len(key) == 1 else None))
        await pilot.pause()
        assert app.seen[-1] == ("changed", "ab")
        assert app.query_one("#table", Input).value == "n"

    run(steps)


def test_it_opens_empty() -> None:
    async def steps(app: BarApp, pilot: Pilot[None]) -> None:
        await pilot.press("a", "enter")
        app.bar.show_matches(1, 2, whole=True)
        app.bar.open(app.query_one("#table"))
        await pilot.pause()
        assert (app.bar.query_one(Input).value, app.matches) == ("", "")

    run(steps)


@pytest.mark.parametrize(
    ("position", "total", "text"),
    [(3, 17, "3 of 17"), (0, 1700, "1,700 found"), (0, 0, "not found")],
)
def test_it_says_which_match_of_how_many_and_whether_that_is_all(position: int, total: int, text: str) -> None:
    async def steps(app: BarApp, pilot: Pilot[None]) -> None:
        app.bar.show_matches(position, total, whole=True)
        await pilot.pause()
        assert app.matches == text
        app.bar.show_matches(position, total, whole=False)
        await pilot.pause()
        assert app.matches == f"{text} in what is loaded"

    run(steps, (20, 5))


def test_nothing_to_look_for_has_no_count() -> None:
    async def steps(app: BarApp, pilot: Pilot[None]) -> None:
        await pilot.press("a")
        app.bar.show_matches(3, 17, whole=True)
        await pilot.press("backspace")
        await pilot.pause()
        assert app.matches == ""

    run(steps)
