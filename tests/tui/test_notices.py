"""Notices come up over the screen, but not over what one types in."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Input

from audit_tui.app import ConsoleApp, Opening
from audit_tui.log import Log
from audit_tui.storage.config import Config
from audit_tui.user_data import UserData
from tests.tui.fake_log import make_log
from tests.tui.test_main_screen import Console


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (160, 48)])
@pytest.mark.parametrize("count", [1, 4])
async def test_a_notice_does_not_cover_the_bar_that_one_types_in(
    tmp_path: Path, size: tuple[int, int], count: int
) -> None:
    async def open_log(url: str) -> Log:
        return make_log(50)

    app = ConsoleApp(Opening(url="http://localhost:8093", open_log=open_log), UserData(Config(), tmp_path))
    async with app.run_test(size=size, notifications=True) as pilot:
        seen = Console(app, pilot)
        await seen.until(lambda: bool(seen.ids))
        for number in range(count):
            app.notify(f"notice {number}: " + "words that go on " * 12, timeout=600)
        await seen.until(lambda: len(app.screen.query("Toast")) == count)
        for key, bar in (("f", "FindBar"), ("slash", "FilterBar")):
            await seen.keys(key, *"abc")
            line = app.screen.query_one(f"{bar} Input", Input)
            await seen.until(lambda line=line: line.value == "abc" and app.screen.has_class("-typing"))  # type: ignore[misc]
            await pilot.pause()
            for x in range(line.region.x, line.region.right):
                assert app.screen.get_widget_at(x, line.region.y)[0] is line
            await seen.keys("escape", "escape")
            await seen.until(lambda: not app.screen.has_class("-typing"))
