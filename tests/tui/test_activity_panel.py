from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest
from rich.cells import cell_len
from textual.app import App, ComposeResult
from textual.message import Message
from textual.pilot import Pilot

from audit_stream.kinds import DEFAULT_KINDS, Severity
from audit_tui.model.activity import Dimension, Entry
from audit_tui.widgets.activity_lines import (
    ActivityColumns,
    ActivityLine,
    entry_parts,
    header_text,
    rate_text,
    share_text,
    spark_text,
)
from audit_tui.widgets.activity_panel import ActivityPanel

_SPARK = (0,) * 20 + (1, 4, 8, 2)


def _entry(
    name: str,
    *,
    total: int = 10,
    silent_for_s: float | None = None,
    rest: bool = False,
    severity: Severity | None = None,
) -> Entry:
    return Entry(
        name=name,
        total=total,
        share=0.25,
        rate_per_s=1.5,
        spark=_SPARK,
        silent_for_s=silent_for_s,
        severity=severity or Severity.INFO,
        rest=rest,
    )


_KINDS = [_entry("request_denied", severity=Severity.WARNING), _entry("request_allowed"), _entry("other")]
_SOURCES = [_entry("gateway"), _entry("broker", silent_for_s=250), _entry("registry")]


class _Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class _PanelApp(App[None]):
    def __init__(self, width: int = 60) -> None:
        super().__init__()
        self.clock = _Clock()
        self.panel = ActivityPanel(clock=self.clock)
        self.panel.styles.width = width
        self.seen: list[Message] = []

    def compose(self) -> ComposeResult:
        yield self.panel

    def on_mount(self) -> None:
        self.panel.show(_KINDS, _SOURCES)
        self.panel.focus()

    def on_activity_panel_chosen(self, message: ActivityPanel.Chosen) -> None:
        self.seen.append(message)

    def on_activity_panel_excluded(self, message: ActivityPanel.Excluded) -> None:
        self.seen.append(message)

    @property
    def choices(self) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
        return [(message.kinds, message.sources) for message in self.seen if isinstance(message, ActivityPanel.Chosen)]

    @property
    def excluded(self) -> list[tuple[Dimension, str]]:
        return [(seen.dimension, seen.name) for seen in self.seen if isinstance(seen, ActivityPanel.Excluded)]

    def screen_lines(self) -> list[str]:
        return [self.panel.render_line(y).text for y in range(self.panel.size.height)]

    def cursor_line(self) -> str:
        return next((line for line in self.screen_lines() if line.startswith("›")), "")


def _run(
    check: Callable[[_PanelApp, Pilot[None]], Awaitable[None]], *, width: int = 60, size: tuple[int, int] = (80, 20)
) -> None:
    async def main() -> None:
        app = _PanelApp(width)
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await check(app, pilot)

    asyncio.run(main())


def test_kinds_and_sources_stand_in_two_sections_with_what_is_known_of_each() -> None:
    async def check(app: _PanelApp, pilot: Pilot[None]) -> None:
        lines = app.screen_lines()
        assert lines[0].startswith("Kinds 3")
        assert [word in lines[1] for word in ("! request_denied", "10", "25%", "1.5/s", "▁▄█▂")] == [True] * 5
        assert lines[4].startswith("Sources 3 · 1 silent")
        assert "broker" in lines[6]
        assert "silent 4 min" in lines[6]

    _run(check)


def test_choosing_toggles_and_says_all_that_is_chosen() -> None:
    async def check(app: _PanelApp, pilot: Pilot[None]) -> None:
        await pilot.press("space", "down", "enter", "right", "space", "space")
        assert app.choices == [
            (("request_denied",), ()),
            (("request_allowed", "request_denied"), ()),
            (("request_allowed", "request_denied"), ("gateway",)),
            (("request_allowed", "request_denied"), ()),
        ]
        assert "2 chosen" in app.screen_lines()[0]
        assert app.screen_lines()[1][1] == "✓"

    _run(check)


def test_escape_clears_the_choice_once_and_then_is_for_others() -> None:
    async def check(app: _PanelApp, pilot: Pilot[None]) -> None:
        await pilot.press("space", "escape", "escape")
        assert app.choices == [(("request_denied",), ()), ((), ())]
        assert app.panel.check_action("clear", ()) is False

    _run(check)


def test_x_excludes_what_is_under_the_cursor() -> None:
    async def check(app: _PanelApp, pilot: Pilot[None]) -> None:
        await pilot.press("x", "end", "x")
        assert app.excluded == [("kind", "request_denied"), ("source", "registry")]

    _run(check)


def test_x_twice_on_one_row_marks_it_as_excluded_and_takes_that_back() -> None:
    async def check(app: _PanelApp, pilot: Pilot[None]) -> None:
        await pilot.press("x")
        assert app.screen_lines()[1][1] == "-"
        await pilot.press("x")
        assert app.screen_lines()[1][1] == " "
        assert app.excluded == [("kind", "request_denied")] * 2

    _run(check)


def test_a_row_is_chosen_or_excluded_but_never_both() -> None:
    async def check(app: _PanelApp, pilot: Pilot[None]) -> None:
        await pilot.press("space", "x")
        assert app.screen_lines()[1][1] == "-"
        assert "chosen" not in app.screen_lines()[0]
        await pilot.press("space")
        assert app.screen_lines()[1][1] == "✓"
        await pilot.press("space")
        assert app.screen_lines()[1][1] == " "
        assert app.choices == [(("request_denied",), ()), (("request_denied",), ()), ((), ())]

    _run(check)


def test_escape_takes_back_what_is_excluded_as_well_and_says_so() -> None:
    async def check(app: _PanelApp, pilot: Pilot[None]) -> None:
        await pilot.press("x", "down", "space", "escape", "escape")
        assert [line[1] for line in app.screen_lines()[1:4]] == [" ", " ", " "]
        said = [(seen.kinds, seen.cleared) for seen in app.seen if isinstance(seen, ActivityPanel.Chosen)]
        assert said == [(("request_allowed",), False), ((), True)]
        assert app.panel.check_action("clear", ()) is False

    _run(check)


def test_what_a_filter_excludes_by_name_is_marked_and_can_be_taken_back() -> None:
    async def check(app: _PanelApp, pilot: Pilot[None]) -> None:
        app.panel.set_choice(("other",), (), ("request_denied",), ("gateway",))
        assert [app.screen_lines()[y][1] for y in (1, 2, 3, 5, 6)] == ["-", " ", "✓", "-", " "]
        assert app.panel.check_action("clear", ()) is True
        await pilot.press("x")
        assert app.screen_lines()[1][1] == " "

    _run(check)


def test_the_cursor_passes_over_the_headers() -> None:
    async def check(app: _PanelApp, pilot: Pilot[None]) -> None:
        await pilot.press("down", "down", "down")
        assert "gateway" in app.cursor_line()
        await pilot.press("up")
        assert "other" in app.cursor_line()
        await pilot.press("up", "up", "up", "up")
        assert "request_denied" in app.cursor_line()

    _run(check)


def test_a_click_chooses_the_row_that_was_clicked() -> None:
    async def check(app: _PanelApp, pilot: Pilot[None]) -> None:
        await pilot.click(ActivityPanel, offset=(8, 6))
        assert app.choices == [((), ("broker",))]
        await pilot.click(ActivityPanel, offset=(8, 4))
        await pilot.click(ActivityPanel, offset=(8, 15))
        assert len(app.choices) == 1

    _run(check)


def test_what_there_was_no_room_for_is_shown_but_cannot_be_chosen() -> None:
    async def check(app: _PanelApp, pilot: Pilot[None]) -> None:
        app.panel.show(_KINDS, [*_SOURCES, _entry("", rest=True)])
        await pilot.press("end", "space", "x")
        assert "all others" in app.cursor_line()
        assert app.seen == []

    _run(check)


def test_the_cursor_stays_on_its_name_when_the_order_changes() -> None:
    async def check(app: _PanelApp, pilot: Pilot[None]) -> None:
        await pilot.press("down")
        app.clock.now_s += 10
        app.panel.show([_KINDS[1], _KINDS[2], _KINDS[0]], _SOURCES)
        assert "request_allowed" in app.screen_lines()[1]
        assert "request_allowed" in app.cursor_line()
        app.panel.show([_KINDS[2], _KINDS[0]], _SOURCES)
        assert app.cursor_line()

    _run(check)


def test_no_row_jumps_in_the_three_seconds_after_a_key_but_its_numbers_change() -> None:
    async def check(app: _PanelApp, pilot: Pilot[None]) -> None:
        await pilot.press("down")
        newer = [_entry("new"), _entry("request_allowed", total=77), *_KINDS[::2]]
        app.clock.now_s += 2.9
        app.panel.show(newer, _SOURCES)
        assert [line[4:19].strip() for line in app.screen_lines()[1:4]] == [
            "request_denied",
            "request_allowed",
            "other",
        ]
        assert " 77 " in app.screen_lines()[2]
        app.clock.now_s += 0.2
        app.panel.show(newer, _SOURCES)
        assert "new" in app.screen_lines()[1]

    _run(check)


def test_no_row_jumps_under_the_mouse() -> None:
    async def check(app: _PanelApp, pilot: Pilot[None]) -> None:
        await pilot.hover(ActivityPanel, offset=(5, 2))
        app.panel.show(_KINDS[::-1], _SOURCES)
        assert "request_denied" in app.screen_lines()[1]

    _run(check)


def test_thousands_of_sources_are_paged_through() -> None:
    async def check(app: _PanelApp, pilot: Pilot[None]) -> None:
        app.clock.now_s += 10
        app.panel.show(_KINDS, [_entry(f"source-{number}") for number in range(2_000)])
        await pilot.press("pagedown")
        assert "source-15" in app.cursor_line()
        await pilot.press("end")
        assert "source-1999" in app.cursor_line()
        await pilot.press("pageup")
        assert "source-1980" in app.cursor_line()
        await pilot.press("home")
        assert app.screen_lines()[0].startswith("Kinds 3")

    _run(check)


def test_nothing_is_drawn_again_when_nothing_that_is_visible_changed() -> None:
    async def check(app: _PanelApp, pilot: Pilot[None]) -> None:
        calls: list[object] = []

        def counted(*regions: object, **_options: bool) -> ActivityPanel:
            calls.append(regions)
            return app.panel

        app.panel.refresh = counted  # type: ignore[method-assign]
        app.panel.show(_KINDS, _SOURCES)
        app.panel.show(_KINDS, [_SOURCES[0], _entry("broker", silent_for_s=251), _SOURCES[2]])
        assert calls == []
        app.panel.show(_KINDS, [_SOURCES[0], _entry("broker", silent_for_s=301), _SOURCES[2]])
        assert calls

    _run(check)


def test_a_choice_made_elsewhere_is_shown_and_not_said_again() -> None:
    async def check(app: _PanelApp, pilot: Pilot[None]) -> None:
        app.panel.set_choice(sources=["gateway"])
        assert app.screen_lines()[5][1] == "✓"
        await pilot.pause()
        assert app.choices == []

    _run(check)


def test_hostile_names_do_not_reach_the_screen_raw() -> None:
    async def check(app: _PanelApp, pilot: Pilot[None]) -> None:
        app.panel.show([_entry("\x1b[31m[red]\u202e")], [_entry("漢" * 60), _entry("")])
        lines = app.screen_lines()
        assert "\\x1b[31m[red]\\u202e" in lines[1]
        assert all(cell_len(line) == app.panel.scrollable_content_region.width for line in lines)

    _run(check)


@pytest.mark.parametrize("size", [(20, 5), (1, 1), (200, 60)])
def test_it_is_drawn_at_any_size(size: tuple[int, int]) -> None:
    async def check(app: _PanelApp, pilot: Pilot[None]) -> None:
        await pilot.press("down", "pagedown", "end", "home", "space")
        assert app.choices

    _run(check, width=size[0], size=size)


@pytest.mark.parametrize("width", range(24, 61))
def test_every_width_is_filled_exactly(width: int) -> None:
    columns = ActivityColumns.of(width)
    lines: Sequence[ActivityLine] = [ActivityLine("source"), *(ActivityLine("source", entry) for entry in _SOURCES)]
    assert cell_len(header_text("source", lines, 0, columns)) == width
    assert cell_len(header_text("source", lines, 1_000_000, columns)) == width
    for entry in (*_SOURCES, _entry("very-long-name" * 5, total=10**14, silent_for_s=59 * 60)):
        assert cell_len("".join(entry_parts(entry, columns, cursor=True, chosen=True))) == width
    assert columns.name >= 12


def test_a_name_never_has_fewer_cells_in_a_wider_panel() -> None:
    cells = [ActivityColumns.of(width).name for width in range(200)]
    assert cells == sorted(cells)


_PANELS = [29, 37, 53]
"""The widths of screens/main.py less the scroll bar."""


def test_what_a_narrow_panel_shows_whole_a_wider_one_does_and_more() -> None:
    names = [kind.name for kind in DEFAULT_KINDS]
    whole: list[set[str]] = []
    for width in _PANELS:
        parts = [entry_parts(_entry(name), ActivityColumns.of(width), cursor=False, chosen=False) for name in names]
        whole.append({shown.strip() for _, shown, _ in parts}.intersection(names))
    assert whole[0] < whole[1] < whole[2]


@pytest.mark.parametrize("width", _PANELS)
def test_the_number_of_chosen_ones_leaves_the_columns_their_names(width: int) -> None:
    lines: Sequence[ActivityLine] = [
        ActivityLine("kind"),
        *(ActivityLine("kind", _entry(f"kind-{number}")) for number in range(14)),
    ]
    header = header_text("kind", lines, 1, ActivityColumns.of(width))
    assert header.startswith("Kinds 14 · 1 chosen ")
    assert " count" in header


@pytest.mark.parametrize("width", _PANELS[1:])
@pytest.mark.parametrize("minutes", [5, 59])
def test_beside_a_name_there_is_room_for_how_long_a_source_is_silent(width: int, minutes: int) -> None:
    entry = _entry("policy-as-code-engine", silent_for_s=minutes * 60)
    assert f" silent {minutes} min" in entry_parts(entry, ActivityColumns.of(width), cursor=False, chosen=False)[2]


def test_names_that_were_not_kept_are_not_among_those_counted_but_told_of() -> None:
    lines: Sequence[ActivityLine] = [
        ActivityLine("source"),
        *(ActivityLine("source", entry) for entry in (*_SOURCES, _entry("", rest=True))),
    ]
    assert header_text("source", lines, 0, ActivityColumns.of(37)).startswith("Sources 3+ · 1 silent ")
    assert header_text("source", lines[:-1], 0, ActivityColumns.of(37)).startswith("Sources 3 · 1 silent ")


@pytest.mark.parametrize("width", [24, 37, 60])
def test_names_that_differ_at_their_ends_differ_when_they_are_cut(width: int) -> None:
    names = ("tool_invocation_required_approval", "tool_invocation_required_a_denial")
    shown = {entry_parts(_entry(name), ActivityColumns.of(width), cursor=False, chosen=False)[1] for name in names}
    assert len(shown) == 2


@pytest.mark.parametrize("width", [37, 51])
def test_the_header_says_how_many_are_silent_before_what_the_columns_are(width: int) -> None:
    lines: Sequence[ActivityLine] = [ActivityLine("source"), *(ActivityLine("source", entry) for entry in _SOURCES)]
    assert "Sources 3 · 1 silent" in header_text("source", lines, 0, ActivityColumns.of(width))


@pytest.mark.parametrize("width", [24, 40, 60])
def test_silence_is_said_in_a_word_at_every_width(width: int) -> None:
    assert "silent" in "".join(entry_parts(_SOURCES[1], ActivityColumns.of(width), cursor=False, chosen=False))


@pytest.mark.parametrize(
    ("counts", "width", "shown"),
    [
        ((0, 0, 0), 3, "   "),
        ((0, 1, 8), 3, " ▁█"),
        ((5, 5), 2, "██"),
        ((1, 1_000_000), 2, "▁█"),
        ((9, 1, 2, 4), 3, "▂▄█"),
        ((1,), 3, "  █"),
        ((1, 2), 0, ""),
    ],
)
def test_a_sparkline_is_blank_for_none_and_never_for_some(counts: tuple[int, ...], width: int, shown: str) -> None:
    assert spark_text(counts, width) == shown


@pytest.mark.parametrize(
    ("rate_per_s", "shown"),
    [
        (0, ""),
        (0.001, "1/min"),
        (0.1, "6/min"),
        (0.2, "0.2/s"),
        (9.94, "9.9/s"),
        (9.96, "9/s"),
        (99.9, "99/s"),
        (4_900, "4.9k/s"),
        (12_345, "12k/s"),
        (10**9, "999k/s"),
    ],
)
def test_a_rate_takes_at_most_six_cells(rate_per_s: float, shown: str) -> None:
    assert rate_text(rate_per_s) == shown
    assert len(shown) <= 6


@pytest.mark.parametrize(("share", "shown"), [(0, "0%"), (0.0001, "<1%"), (0.29, "29%"), (0.9999, "99%"), (1, "100%")])
def test_a_share_is_never_rounded_to_nothing_or_to_all(share: float, shown: str) -> None:
    assert share_text(share) == shown
