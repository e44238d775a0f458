"""The filter bar: seen while a filter is set, its mistakes where they are, completion, history."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from textual import on
from textual.app import App, ComposeResult
from textual.events import Key
from textual.pilot import Pilot
from textual.widgets import Input, Static

from audit_stream.filters import parse
from audit_stream.kinds import DEFAULT_KINDS
from audit_tui.widgets.completion_list import CompletionList
from audit_tui.widgets.filter_bar import FilterBar
from audit_tui.widgets.typed_text import TypedText


class BarApp(App[None]):
    """The bar above something that can have the focus; `seen` is what the bar has posted."""

    def __init__(self) -> None:
        super().__init__()
        self.bar = FilterBar()
        self.seen: list[str] = []
        self.filters: list[object] = []

    def compose(self) -> ComposeResult:
        yield self.bar
        yield Input(id="table")

    def on_mount(self) -> None:
        self.bar.offer(["other", "request_denied", "request_allowed"], ["a/b", "x y"], ["reason"])
        self.query_one("#table").focus()

    @on(FilterBar.Applied)
    def _applied(self, message: FilterBar.Applied) -> None:
        self.seen.append(message.text)
        self.filters.append(message.filter)
        self.bar.set_applied(message.text)

    @property
    def table(self) -> Input:
        return self.query_one("#table", Input)

    @property
    def input(self) -> Input:
        return self.bar.query_one(Input)

    @property
    def wrong(self) -> str:
        line = self.bar.query_one("#wrong", Static)
        return str(line.content) if line.display else ""

    @property
    def options(self) -> list[str]:
        shown = self.bar.query_one(CompletionList)
        return [str(option.prompt) for option in shown.options] if shown.is_open else []


Steps = Callable[[BarApp, Pilot[None]], Awaitable[None]]


def run(steps: Steps, size: tuple[int, int] = (120, 40)) -> None:
    async def main() -> None:
        app = BarApp()
        async with app.run_test(size=size) as pilot:
            await steps(app, pilot)

    asyncio.run(main())


async def edit(app: BarApp, pilot: Pilot[None], text: str = "") -> None:
    """Begin to edit and type the text key by key."""
    app.bar.edit(app.table)
    for char in text:
        await pilot.press(char)
    await pilot.pause()


def test_it_is_hidden_until_somebody_edits_and_stays_while_a_filter_is_set() -> None:
    async def steps(app: BarApp, pilot: Pilot[None]) -> None:
        assert not app.bar.display
        await edit(app, pilot, "kind:other")
        assert app.bar.display
        await pilot.press("enter")
        await pilot.pause()
        assert app.bar.display
        assert not app.input.has_focus
        app.bar.set_applied("")
        assert not app.bar.display

    run(steps)


def test_enter_applies_what_was_typed_with_its_relative_time() -> None:
    async def steps(app: BarApp, pilot: Pilot[None]) -> None:
        await edit(app, pilot, "since:15m ")
        await pilot.press("escape", "enter")
        await pilot.pause()
        assert app.seen == ["since:15m"]

    run(steps)


def test_a_mistake_is_shown_at_its_place_while_typing_and_not_applied() -> None:
    async def steps(app: BarApp, pilot: Pilot[None]) -> None:
        await edit(app, pilot, "x sevrity:info")
        caret, _, message = app.wrong.partition("^")
        assert len(caret) == app.input.region.x - app.bar.region.x + len("x ")
        assert "did you mean severity?" in message
        await pilot.press("enter")
        await pilot.pause()
        assert app.seen == []
        await pilot.press("ctrl+u")
        await pilot.pause()
        assert app.wrong == ""

    run(steps)


def test_the_wrong_stretch_is_underlined() -> None:
    typed_text = TypedText()
    typed_text.wrong = (2, 9)
    (span,) = typed_text("x sevrity:info").spans
    assert (span.start, span.end, span.style) == (2, 9, "underline")


def test_what_is_typed_shows_no_control_character() -> None:
    assert TypedText()("a\x1b[31m\u202eb").plain == "a�[31m�b"


def test_a_wide_text_keeps_the_caret_under_the_mistake() -> None:
    async def steps(app: BarApp, pilot: Pilot[None]) -> None:
        await edit(app, pilot, "策略 sevrity:info")
        assert app.wrong.index("^") == app.input.region.x - app.bar.region.x + len("策略 ") + 2

    run(steps)


def test_tab_takes_the_best_completion_and_offers_what_follows() -> None:
    async def steps(app: BarApp, pilot: Pilot[None]) -> None:
        await edit(app, pilot, "ki")
        assert app.options == ["kind:"]
        await pilot.press("tab")
        await pilot.pause()
        assert app.input.value == "kind:"
        assert app.options == ["other", "request_denied", "request_allowed"]
        await pilot.press("down", "down", "tab")
        await pilot.pause()
        assert app.input.value == "kind:request_denied"
        assert app.input.has_focus

    run(steps)


def test_enter_takes_a_completion_only_when_one_was_chosen() -> None:
    async def steps(app: BarApp, pilot: Pilot[None]) -> None:
        await edit(app, pilot, "kind:req")
        await pilot.press("down", "enter")
        await pilot.pause()
        assert (app.input.value, app.seen) == ("kind:request_denied", [])
        await pilot.press("enter")
        await pilot.pause()
        await edit(app, pilot)
        await pilot.press("ctrl+u", *"kind:o", "enter")
        await pilot.pause()
        assert app.seen == ["kind:request_denied", "kind:o"]

    run(steps)


def test_a_click_takes_a_completion_and_leaves_the_cursor_in_the_input() -> None:
    async def steps(app: BarApp, pilot: Pilot[None]) -> None:
        await edit(app, pilot, "kind:req")
        assert await pilot.click(CompletionList, offset=(2, 1))
        await pilot.pause()
        assert app.input.value == "kind:request_allowed"
        assert app.input.has_focus

    run(steps)


def test_escape_closes_the_list_then_restores_what_is_applied_and_leaves() -> None:
    async def steps(app: BarApp, pilot: Pilot[None]) -> None:
        app.bar.set_applied("kind:other")
        await edit(app, pilot, "kind:r")
        assert app.options
        await pilot.press("escape")
        await pilot.pause()
        assert (app.options, app.input.value, app.seen) == ([], "kind:other kind:r", [])
        await pilot.press("escape")
        await pilot.pause()
        assert (app.input.value, app.seen) == ("kind:other", [])
        assert app.bar.display
        assert app.focused is app.table

    run(steps)


def test_escape_hides_an_empty_bar() -> None:
    async def steps(app: BarApp, pilot: Pilot[None]) -> None:
        await edit(app, pilot, "zz")
        await pilot.press("escape")
        await pilot.pause()
        assert not app.bar.display

    run(steps)


def test_who_goes_elsewhere_sees_the_filter_that_is_in_force() -> None:
    async def steps(app: BarApp, pilot: Pilot[None]) -> None:
        app.bar.set_applied("kind:other")
        await edit(app, pilot, "x")
        app.query_one("#table").focus()
        await pilot.pause()
        assert app.input.value == "kind:other"
        assert app.wrong == ""

    run(steps)


def test_up_and_down_go_through_what_was_applied_before() -> None:
    async def steps(app: BarApp, pilot: Pilot[None]) -> None:
        for text in ("kind:other", "id:>4", "kind:other", "x"):
            app.bar.set_applied(text)
        app.bar.set_applied("")
        await edit(app, pilot, "zz")
        recalled = []
        for key in ("up", "up", "up", "up", "down", "down", "down"):
            await pilot.press(key)
            await pilot.pause()
            recalled.append(app.input.value)
        assert recalled == ["x", "kind:other", "id:>4", "id:>4", "kind:other", "x", "zz"]

    run(steps)


def test_ctrl_u_clears_all_of_it_wherever_the_cursor_is() -> None:
    async def steps(app: BarApp, pilot: Pilot[None]) -> None:
        app.bar.set_applied("kind:other x")
        await edit(app, pilot)
        await pilot.press("left", "left", "ctrl+u")
        await pilot.pause()
        assert app.input.value == ""
        await pilot.press("escape", "enter")
        await pilot.pause()
        assert app.seen == [""]

    run(steps)


def at_once(app: BarApp, *keys: str) -> None:
    """Keys in one burst, as a fast typist on a slow connection sends them."""
    for key in keys:
        app.post_message(Key(key, key if len(key) == 1 else None))


def test_what_is_typed_right_after_ctrl_u_stays() -> None:
    async def steps(app: BarApp, pilot: Pilot[None]) -> None:
        await edit(app, pilot, "kind:other")
        at_once(app, "ctrl+u", *"id:7", "enter")
        await pilot.pause()
        assert app.seen == ["id:7"]

    run(steps)


def test_what_is_typed_right_after_enter_goes_where_the_cursor_then_is() -> None:
    async def steps(app: BarApp, pilot: Pilot[None]) -> None:
        app.bar.set_applied("kind:other")
        await edit(app, pilot)
        at_once(app, *"id:7", "enter", "up", "x", "y")
        await pilot.pause()
        assert app.seen == ["kind:other id:7"]
        assert (app.input.value, app.table.value) == ("kind:other id:7", "xy")

    run(steps)


def test_completions_are_those_of_what_stands_there_however_fast_it_is_typed() -> None:
    async def steps(app: BarApp, pilot: Pilot[None]) -> None:
        app.bar.edit(app.table)
        at_once(app, *"kind:req", "down", "down", "enter", "enter")
        await pilot.pause()
        assert app.seen == ["kind:request_allowed"]

    run(steps)


def test_severities_are_those_of_the_registry_it_was_given() -> None:
    async def steps(app: BarApp, pilot: Pilot[None]) -> None:
        app.bar.kinds = DEFAULT_KINDS.with_extra("quota_exceeded:critical")
        await edit(app, pilot, "severity:critical")
        await pilot.press("enter")
        await pilot.pause()
        assert app.filters == [parse("severity:critical", now_ms=0, kinds=app.bar.kinds)]
        assert app.filters != [parse("severity:critical", now_ms=0)]

    run(steps)


def test_the_parser_is_loaded_beside_the_loop() -> None:
    async def steps(app: BarApp, pilot: Pilot[None]) -> None:
        await app.bar.warm_up()
        assert not app.bar.display

    run(steps)


@pytest.mark.parametrize("size", [(20, 5), (80, 24), (240, 60)])
def test_it_holds_in_any_size_with_a_long_filter_and_a_mistake(size: tuple[int, int]) -> None:
    async def steps(app: BarApp, pilot: Pilot[None]) -> None:
        app.bar.set_applied("kind:" + ",".join(["request_denied"] * 20))
        await edit(app, pilot, " sevrity:x ki")
        assert app.options == ["kind:"]
        assert "^" in app.wrong
        assert app.bar.query_one(CompletionList).region.right <= size[0]

    run(steps, size)
