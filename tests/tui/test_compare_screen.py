"""Comparing two daemons on the screen."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable

import pytest
from rich.console import Console
from rich.table import Table
from textual.app import App
from textual.pilot import Pilot
from textual.widgets import Static

from audit_stream.errors import ClientError
from audit_tui.screens.compare import CompareScreen
from tests.tui.fake_log import FakeLog, chained, make_log


class CompareApp(App[None]):
    def __init__(self, one: FakeLog, other: FakeLog) -> None:
        super().__init__()
        self.logs = (one, other)

    def on_mount(self) -> None:
        self.push_screen(CompareScreen(*self.logs))


def run(
    one: FakeLog,
    other: FakeLog,
    steps: Callable[[Pilot[None], CompareApp], Awaitable[None]],
    *,
    size: tuple[int, int] = (120, 40),
) -> None:
    app = CompareApp(one, other)

    async def main() -> None:
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await app.screen.workers.wait_for_complete()
            await pilot.pause()
            await steps(pilot, app)

    asyncio.run(main())


def summary(app: CompareApp) -> str:
    return str(app.screen.query_one("#summary", Static).content)


def events(app: CompareApp) -> str:
    table = app.screen.query_one("#events", Static).content
    assert isinstance(table, Table)
    console = Console(width=160, color_system=None, file=io.StringIO())
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def forked() -> tuple[FakeLog, FakeLog]:
    one, other = make_log(20), make_log(4, url="http://other.test")
    other.replace([*other.raw, *chained([("other", "mallory", {"i": "学\x1b[31m[red]"})] * 16, after=other.head)])
    return one, other


def test_the_first_event_that_differs_is_shown_field_by_field() -> None:
    async def steps(pilot: Pilot[None], app: CompareApp) -> None:
        assert summary(app).startswith("≠ The histories diverge first at #5")
        lines = [line.split() for line in events(app).splitlines()]
        assert ["=", "event_id", "5", "5"] in lines
        assert ["≠", "source", '"reliability-toolkit"', '"mallory"'] in lines

    run(*forked(), steps)


def test_the_same_history_is_said() -> None:
    async def steps(pilot: Pilot[None], app: CompareApp) -> None:
        assert summary(app).startswith("= Same history: 20 events")
        assert "assumes that both chains are valid" in str(app.screen.query_one("#assumption", Static).content)

    run(make_log(20), make_log(20), steps)


def test_c_copies_the_result_as_text() -> None:
    async def steps(pilot: Pilot[None], app: CompareApp) -> None:
        await pilot.press("c")
        assert app.clipboard.startswith("The histories diverge first at #5")
        assert "\x1b" not in app.clipboard

    run(*forked(), steps)


def test_a_daemon_that_is_away_is_said_and_asked_again_with_r() -> None:
    one, other = make_log(20), make_log(20)
    other.fail_with(ClientError("no daemon \x1b[31m answers"))

    async def steps(pilot: Pilot[None], app: CompareApp) -> None:
        assert summary(app) == "✗ no daemon \\x1b[31m answers"
        await pilot.press("c")
        assert app.clipboard == ""
        other.come_back()
        await pilot.press("r")
        await app.screen.workers.wait_for_complete()
        assert summary(app).startswith("= Same history")

    run(one, other, steps)


def test_escape_closes_it_and_the_other_daemon_only() -> None:
    one, other = make_log(20), make_log(20)

    async def steps(pilot: Pilot[None], app: CompareApp) -> None:
        await pilot.press("escape")
        await pilot.pause()
        assert not isinstance(app.screen, CompareScreen)
        assert (one.closed, other.closed) == (False, True)

    run(one, other, steps)


@pytest.mark.parametrize("size", [(20, 5), (80, 24), (200, 60)])
def test_it_fits_any_terminal(size: tuple[int, int]) -> None:
    async def steps(pilot: Pilot[None], app: CompareApp) -> None:
        assert "diverge" in summary(app)
        await pilot.resize_terminal(20, 5)
        await pilot.resize_terminal(*size)

    run(*forked(), steps, size=size)
