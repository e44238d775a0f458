"""Screens that keys close before they are there, or once more when they are gone."""

from __future__ import annotations

import asyncio

from textual.app import App, ComposeResult
from textual.widgets import Static

from audit_tui.screens.closing import ClosesOnce


class Asking(ClosesOnce[int]):
    """Needs what it is composed of when it is mounted."""

    def compose(self) -> ComposeResult:
        yield Static(id="said")

    def on_mount(self) -> None:
        self.query_one("#said", Static).update("?")


async def test_a_screen_that_is_not_there_yet_is_closed_once_it_is() -> None:
    app, results = App[None](), list[int | None]()
    async with app.run_test() as pilot:
        screen = Asking()
        app.push_screen(screen, results.append)
        assert not screen.is_mounted
        screen.dismiss(7)
        async with asyncio.timeout(20):
            while not results:
                await pilot.pause()
        assert app.screen is not screen
    assert results == [7]


async def test_a_screen_that_is_closed_already_is_not_closed_again() -> None:
    app, results = App[None](), list[int | None]()
    async with app.run_test() as pilot:
        screen = Asking()
        await app.push_screen(screen, results.append)
        screen.dismiss(7)
        screen.dismiss(8)
        await pilot.pause()
        assert app.screen is not screen
    assert results == [7]
