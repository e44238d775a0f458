"""The export on the screen."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual.app import App
from textual.pilot import Pilot
from textual.widgets import Input, ProgressBar, Static

from audit_stream.client import Selection
from audit_tui.screens.export import ExportScreen
from tests.tui.fake_log import FakeLog, make_log


class ExportApp(App[None]):
    def __init__(self, log: FakeLog, q: str) -> None:
        super().__init__()
        self.log_ = log
        self.q = q
        self.results: list[Path | None] = []

    def on_mount(self) -> None:
        self.push_screen(ExportScreen(self.log_, Selection(q=self.q), self.q or "all events"), self.results.append)

    def type(self, path: Path) -> None:
        self.screen.query_one(Input).value = str(path)

    @property
    def said(self) -> str:
        return str(self.screen.query_one("#said", Static).content)


def run(
    log: FakeLog,
    steps: Callable[[Pilot[None], ExportApp], Awaitable[None]],
    *,
    q: str = "",
    size: tuple[int, int] = (80, 24),
) -> ExportApp:
    app = ExportApp(log, q)

    async def main() -> None:
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await steps(pilot, app)

    asyncio.run(main())
    return app


async def written(pilot: Pilot[None], app: ExportApp) -> None:
    await pilot.press("enter")
    await app.screen.workers.wait_for_complete()
    await pilot.pause()


def test_a_name_with_the_time_is_proposed() -> None:
    async def steps(pilot: Pilot[None], app: ExportApp) -> None:
        name = app.screen.query_one(Input).value
        assert re.fullmatch(r"\./audit-stream-\d{8}-\d{6}\.jsonl", name)

    run(make_log(3), steps)


def test_enter_writes_and_enter_again_gives_the_file(tmp_path: Path) -> None:
    path = tmp_path / "cron.csv"

    async def steps(pilot: Pilot[None], app: ExportApp) -> None:
        app.type(path)
        await written(pilot, app)
        assert app.said == f"✓ 4 events in {path}; Enter closes"
        await pilot.press("enter")
        await pilot.pause()

    assert run(make_log(30), steps, q="source:cron").results == [path]
    assert path.read_bytes().count(b"\r\n") == 5


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[None], app: ExportApp) -> None:
        app.type(tmp_path / "all.xlsx")
        await written(pilot, app)
        assert app.said == "✗ the name must end in .jsonl or .csv"

    run(make_log(3), steps)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_replaced_only_by_a_second_enter(tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    path.write_text("precious")

    async def steps(pilot: Pilot[None], app: ExportApp) -> None:
        app.type(path)
        await written(pilot, app)
        assert app.said.endswith("Enter once more replaces it")
        assert path.read_text() == "precious"
        await written(pilot, app)
        assert app.said.startswith("✓ 3 events")

    run(make_log(3), steps)
    assert path.read_text().count("\n") == 3


def test_another_name_takes_the_leave_to_replace_back(tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    path.write_text("precious")

    async def steps(pilot: Pilot[None], app: ExportApp) -> None:
        app.type(path)
        await written(pilot, app)
        app.type(tmp_path / "other.jsonl")
        await pilot.pause()
        app.type(path)
        await pilot.pause()
        await written(pilot, app)
        assert app.said.endswith("Enter once more replaces it")

    run(make_log(3), steps)
    assert path.read_text() == "precious"


def test_escape_cancels_and_leaves_nothing_behind(tmp_path: Path) -> None:
    log = make_log(1_200)
    log.hold_after(700)

    async def steps(pilot: Pilot[None], app: ExportApp) -> None:
        screen = app.screen
        app.type(tmp_path / "all.jsonl")
        await pilot.press("enter")
        while "500 events" not in app.said:
            await pilot.pause()
        assert screen.query_one(ProgressBar).display
        assert screen.query_one(ProgressBar).percentage == pytest.approx(500 / 1_200)
        await pilot.press("escape")
        while app.screen is screen:
            await pilot.pause()

    assert run(log, steps).results == [None]
    assert list(tmp_path.iterdir()) == []


def test_a_daemon_that_is_away_is_said_and_may_be_tried_again(tmp_path: Path) -> None:
    log = make_log(3)
    log.go_away()

    async def steps(pilot: Pilot[None], app: ExportApp) -> None:
        app.type(tmp_path / "all.jsonl")
        await written(pilot, app)
        assert app.said.startswith("✗ no daemon answers")
        log.come_back()
        await written(pilot, app)
        assert app.said.startswith("✓ 3 events")

    run(log, steps)


@pytest.mark.parametrize("size", [(20, 5), (80, 24), (200, 60)])
def test_it_fits_any_terminal(size: tuple[int, int], tmp_path: Path) -> None:
    async def steps(pilot: Pilot[None], app: ExportApp) -> None:
        app.type(tmp_path / "all.jsonl")
        await written(pilot, app)
        assert app.said.startswith("✓")

    run(make_log(3), steps, size=size)
