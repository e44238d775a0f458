"""The mouse on the table, beyond the wheel."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit_tui.model.columns import COLUMNS, Widths
from tests.tui.fake_log import make_log
from tests.tui.test_main_screen import console


@pytest.mark.parametrize("hidden", [frozenset(), frozenset({"time"}), frozenset({"kind", "source"})])
def test_a_cell_belongs_to_the_column_whose_name_is_above_it(hidden: frozenset[str]) -> None:
    widths = Widths.of(120, id_digits=5, time_format="local", hidden=hidden)
    at = 2
    for name in COLUMNS[:-1]:
        cells = getattr(widths, name)
        if cells:
            assert {widths.column_at(cell) for cell in range(at, at + cells)} == {name}
            at += cells + 1
        else:
            assert name in hidden
    assert widths.column_at(0) == "id"
    assert widths.column_at(at) == widths.column_at(500) == COLUMNS[-1]


async def test_a_click_chooses_the_row_and_the_column_to_filter_by(tmp_path: Path) -> None:
    async with console(make_log(50), tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 50)
        column = seen.lines[0].index("source")
        await seen.pilot.click(seen.main.table, offset=(column + 3, 10))
        assert seen.main.table.cursor_column == "source"
        row = seen.main.table.cursor_row
        assert row is not None
        assert f" {row.event_id} " in seen.lines[10]
        assert not seen.main.session.view.following
        await seen.keys("i")
        assert seen.main.session.view.filter_text == f"source:{row.source}"


async def test_a_click_on_the_scroll_bar_goes_as_far_into_the_window(tmp_path: Path) -> None:
    async with console(make_log(300), tmp_path, size=(100, 32)) as seen:
        await seen.until(lambda: seen.cursor == 300)
        await seen.until(lambda: len(seen.ids) > 100)
        table, first = seen.main.table, seen.ids[0]
        await seen.pilot.click(table, offset=(table.size.width - 1, table.size.height // 2))
        middle = (first + 300) // 2
        assert abs(seen.cursor - middle) < 10
        await seen.pilot.click(table, offset=(table.size.width - 1, table.size.height - 1))
        assert seen.cursor == 300
        assert not seen.main.session.view.following
