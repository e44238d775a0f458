from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from textual.app import App
from textual.pilot import Pilot
from textual.widgets import Static

from audit_tui.screens.go_to import GoTo, GoToScreen

NOW_MS = 1_780_000_000_000  # 2026-05-28T20:26:40Z


class GoToApp(App[None]):
    results: list[GoTo | None]

    def on_mount(self) -> None:
        self.results = []
        self.push_screen(GoToScreen(NOW_MS, utc=True), self.results.append)


def said(app: GoToApp) -> str:
    return str(app.screen.query_one("#said", Static).content)


def run(steps: Callable[[Pilot[None], GoToApp], Awaitable[None]], *, size: tuple[int, int] = (80, 24)) -> GoToApp:
    app = GoToApp()

    async def main() -> None:
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await steps(pilot, app)

    asyncio.run(main())
    return app


@pytest.mark.parametrize(
    ("typed", "place"),
    [
        ("#42", GoTo(event_id=42)),
        ("-15m", GoTo(at_ms=NOW_MS - 900_000)),
        ("20:26", GoTo(at_ms=NOW_MS - 40_000)),
        ("end", GoTo()),
        ("start", GoTo(event_id=1)),
    ],
)
def test_enter_gives_the_place_that_was_typed(typed: str, place: GoTo) -> None:
    async def steps(pilot: Pilot[None], app: GoToApp) -> None:
        await pilot.press(*typed, "enter")
        await pilot.pause()

    assert run(steps).results == [place]


def test_where_it_leads_is_said_while_typing() -> None:
    async def steps(pilot: Pilot[None], app: GoToApp) -> None:
        assert "an id" in said(app)
        await pilot.press(*"20:26")
        await pilot.pause()
        assert said(app) == "→ 2026-05-28 20:26:00.000 UTC"

    run(steps)


def test_a_mistake_is_said_while_typing_and_enter_does_not_leave() -> None:
    async def steps(pilot: Pilot[None], app: GoToApp) -> None:
        await pilot.press(*"25:00")
        await pilot.pause()
        assert said(app).startswith("✗ there is no such time of day")
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, GoToScreen)
        assert app.results == []
        for _ in range(5):
            await pilot.press("backspace")
        await pilot.pause()
        assert "an id" in said(app)

    run(steps)


def test_escape_goes_nowhere() -> None:
    async def steps(pilot: Pilot[None], app: GoToApp) -> None:
        await pilot.press("4", "escape")
        await pilot.pause()
        assert not isinstance(app.screen, GoToScreen)

    assert run(steps).results == [None]


def test_it_works_on_a_tiny_screen() -> None:
    async def steps(pilot: Pilot[None], app: GoToApp) -> None:
        await pilot.press("4", "2", "enter")
        await pilot.pause()

    assert run(steps, size=(20, 5)).results == [GoTo(event_id=42)]
