from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from audit_tui.model.outline import Outline, key_text, value_text
from audit_tui.widgets.json_tree import JsonTree

PAYLOAD = {"a": {"b": 1, "c": [True, None]}, "d": "text", "e": {}}


class TreeApp(App[None]):
    def __init__(self, payload: object) -> None:
        super().__init__()
        self.payload = payload
        self.moves: list[JsonTree.Moved] = []

    def compose(self) -> ComposeResult:
        yield JsonTree(self.payload)

    def on_json_tree_moved(self, message: JsonTree.Moved) -> None:
        self.moves.append(message)


Steps = Callable[[Pilot[None], JsonTree], Awaitable[None]]


def run(payload: object, steps: Steps, *, size: tuple[int, int] = (60, 12)) -> TreeApp:
    app = TreeApp(payload)

    async def main() -> None:
        async with app.run_test(size=size) as pilot:
            tree = app.query_one(JsonTree)
            tree.focus()
            await pilot.pause()
            await steps(pilot, tree)

    asyncio.run(main())
    return app


def at(tree: JsonTree) -> tuple[str | int, ...]:
    return tree.path  # a call, because a type checker holds an attribute for as it was


def lines(tree: JsonTree) -> list[str]:
    return [tree.render_line(y).text.rstrip() for y in range(min(tree.size.height, int(tree.virtual_size.height)))]


def test_a_payload_is_one_line_a_value() -> None:
    async def steps(pilot: Pilot[None], tree: JsonTree) -> None:
        assert lines(tree) == [
            "▾ {3 keys}",
            "  ▾ a: {2 keys}",
            "      b: 1",
            "    ▾ c: [2 elements]",
            "        0: true",
            "        1: null",
            '    d: "text"',
            "    e: {}",
        ]

    run(PAYLOAD, steps)


def test_keys_move_the_cursor_and_say_where_it_is() -> None:
    async def steps(pilot: Pilot[None], tree: JsonTree) -> None:
        assert (at(tree), tree.value) == ((), PAYLOAD)
        await pilot.press("down", "j", "down", "down")
        assert (at(tree), tree.value) == (("a", "c", 0), True)
        await pilot.press("end")
        assert at(tree) == ("e",)
        await pilot.press("k", "up", "home", "up")
        assert at(tree) == ()

    app = run(PAYLOAD, steps)
    assert app.moves[-1].path == ()
    assert any(move.path == ("a", "c", 0) and move.value is True for move in app.moves)


@pytest.mark.parametrize("key", ["enter", "space", "left"])
def test_a_folded_value_hides_what_is_in_it(key: str) -> None:
    async def steps(pilot: Pilot[None], tree: JsonTree) -> None:
        await pilot.press("down", key)
        assert lines(tree) == ["▾ {3 keys}", "  ▸ a: {2 keys}", '    d: "text"', "    e: {}"]
        await pilot.press("right")
        assert len(lines(tree)) == 8

    run(PAYLOAD, steps)


def test_left_leads_out_and_right_leads_in() -> None:
    async def steps(pilot: Pilot[None], tree: JsonTree) -> None:
        await pilot.press("right", "right", "down")
        assert at(tree) == ("a", "c")
        await pilot.press("right")
        assert at(tree) == ("a", "c", 0)
        await pilot.press("left")
        assert at(tree) == ("a", "c")
        await pilot.press("left", "left")
        assert at(tree) == ("a",)

    run(PAYLOAD, steps)


def test_all_folds_and_all_unfolds_with_the_cursor_on_what_is_left() -> None:
    async def steps(pilot: Pilot[None], tree: JsonTree) -> None:
        await pilot.press("down", "down", "down", "down", "-")
        assert lines(tree) == ["▾ {3 keys}", "  ▸ a: {2 keys}", '    d: "text"', "    e: {}"]
        assert at(tree) == ("a",)
        await pilot.press("+")
        assert len(lines(tree)) == 8
        assert at(tree) == ("a",)

    run(PAYLOAD, steps)


def test_a_click_selects_and_on_the_mark_folds() -> None:
    async def steps(pilot: Pilot[None], tree: JsonTree) -> None:
        await pilot.click(JsonTree, offset=(20, 3))
        assert at(tree) == ("a", "c")
        assert len(lines(tree)) == 8
        await pilot.click(JsonTree, offset=(4, 3))
        assert len(lines(tree)) == 6
        await pilot.click(JsonTree, offset=(30, 11))
        assert at(tree) == ("a", "c")

    run(PAYLOAD, steps)


def test_the_cursor_stays_on_screen() -> None:
    async def steps(pilot: Pilot[None], tree: JsonTree) -> None:
        await pilot.press("pagedown", "pagedown")
        assert at(tree) == ("k21",)
        assert tree.scroll_offset.y <= tree.cursor < tree.scroll_offset.y + tree.size.height
        await pilot.press("end")
        assert at(tree) == ("k99",)
        assert lines(tree)[-1] == "    k99: 99"
        await pilot.press("pageup", "home")
        assert tree.scroll_offset.y == 0

    run({f"k{i}": i for i in range(100)}, steps)


def test_another_payload_keeps_the_path() -> None:
    async def steps(pilot: Pilot[None], tree: JsonTree) -> None:
        await pilot.press("end", "up")
        tree.show({"x": 1, "d": "other"})
        assert (at(tree), tree.value) == (("d",), "other")
        tree.show({"x": 1})
        assert at(tree) == ()

    run(PAYLOAD, steps)


def test_hostile_text_is_escaped_and_never_markup() -> None:
    async def steps(pilot: Pilot[None], tree: JsonTree) -> None:
        shown = "\n".join(lines(tree))
        assert "[bold]x[/bold]" in shown
        assert "\x1b" not in shown
        assert "\u202e" not in shown
        assert "\\u202e" in shown
        assert "\\u200b" in shown

    run({"\x1b[2J": "[bold]x[/bold]", "k\u202e": "a\u200bb\x07\n", "漢": "字" * 200}, steps)


@pytest.mark.parametrize("size", [(20, 5), (7, 3), (80, 24), (200, 50)])
def test_every_line_is_exactly_as_wide_as_the_widget(size: tuple[int, int]) -> None:
    nested: object = "漢字"
    for _ in range(60):
        nested = {"ключ": [nested]}

    async def steps(pilot: Pilot[None], tree: JsonTree) -> None:
        for key in ("end", "pageup", "home"):
            await pilot.press(key)
            for y in range(tree.size.height):
                strip = tree.render_line(y)
                assert cell_len(strip.text) == strip.cell_length == tree.scrollable_content_region.width

    run({"deep": nested, "wide": "字" * 300, "cut": "é\u0301" * 90}, steps, size=size)


def test_great_numbers_are_shown_exactly() -> None:
    async def steps(pilot: Pilot[None], tree: JsonTree) -> None:
        assert lines(tree)[1:] == [f"    n: {2**70 + 1}", "    f: 0.1", "    t: 1e+22", "    i: 1.0"]

    run({"n": 2**70 + 1, "f": 0.1, "t": 1e22, "i": 1.0}, steps)


@pytest.mark.parametrize(
    "payload",
    [
        {f"key_{i}": i for i in range(10_000)},
        {"ones": [1] * 32_000},
        {"long": "x" * 64_000},
        json.loads('{"a":' * 127 + "{}" + "}" * 127),
    ],
    ids=["keys", "elements", "string", "nesting"],
)
def test_great_payloads_open_at_once(payload: object) -> None:
    started = time.process_time()
    outline = Outline(payload)
    outline.fold_all(True)
    outline.fold_all(False)
    assert time.process_time() - started < 1.0  # measured: 0.05 s; the limit only catches what grows with its square

    async def steps(pilot: Pilot[None], tree: JsonTree) -> None:
        await pilot.press("end", "-", "+", "home")
        assert lines(tree)[0].startswith("▾ ")

    run(payload, steps)


values = st.recursive(
    st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=12,
)


@given(payload=values)
def test_every_path_leads_to_its_value_and_line(payload: object) -> None:
    outline = Outline(payload)
    for line in range(len(outline)):
        found = payload
        for key in outline.path(line):
            found = found[key]  # type: ignore[index]  # an object or an array, or the path is wrong
        assert found is outline.node(line).value or found == outline.node(line).value
        assert outline.line_of(outline.path(line)) == line


@given(payload=values, picks=st.lists(st.integers(0, 40), max_size=6))
def test_folding_hides_exactly_what_is_inside(payload: object, picks: list[int]) -> None:
    outline = Outline(payload)
    before = len(outline)
    for pick in picks:
        line = pick % len(outline)
        path = outline.path(line)
        outline.fold(line, True)
        shown = [outline.path(each) for each in range(len(outline))]
        if outline.node(line).foldable:
            assert path in shown
            assert not any(len(other) > len(path) and other[: len(path)] == path for other in shown)
    outline.fold_all(False)
    assert len(outline) == before


@pytest.mark.parametrize(
    ("value", "text"),
    [("x", '"x"'), ('q"\n\x7f', '"q\\"\\n\\x7f"'), ({}, "{}"), ({"a": 1}, "{1 key}"), ([], "[]"), (None, "null")],
)
def test_values_as_text(value: object, text: str) -> None:
    assert value_text(value) == text


def test_a_long_string_is_cut_where_asked() -> None:
    assert value_text("abcdef", longest=3) == '"abc…'


@pytest.mark.parametrize(
    ("key", "text"), [("a_1", "a_1"), ("a.b", '"a.b"'), ("", '""'), (3, "3"), ("\x1b", '"\\u001b"')]
)
def test_keys_as_text(key: str | int, text: str) -> None:
    assert key_text(key) == text
