"""Where in a window one is, without a screen."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from audit_stream.client import RawEvent
from audit_stream.kinds import DEFAULT_KINDS
from audit_tui.model.cursor import Cursor
from audit_tui.model.part import Part
from audit_tui.model.ring import Ring
from audit_tui.model.rows import Row, read_row
from audit_tui.model.view import View
from tests.tui.fake_log import make_log

RAW = make_log(400).raw
SCREEN = 10


def fresh(first: int, last: int) -> list[Row]:
    return [read_row(RawEvent(raw), DEFAULT_KINDS) for raw in RAW[first - 1 : last]]


def at(cursor: Cursor) -> int:
    item = cursor.item
    assert isinstance(item, Row)
    return item.event_id


def seen(cursor: Cursor) -> list[int]:
    items = (cursor.item_at(index) for index in range(cursor.top, cursor.top + SCREEN))
    return [item.event_id for item in items if isinstance(item, Row)]


def part(view: View, first: int, last: int) -> Part:
    return Part(beginning=view.beginning, low=first, high=last, items=fresh(first, last))


def following(count: int, *, max_rows: int = 1000) -> tuple[View, Cursor]:
    view = View(max_rows=max_rows)
    cursor = Cursor(view)
    view.grow(fresh(1, count))
    cursor.settle(SCREEN)
    return view, cursor


def test_it_follows_at_the_bottom() -> None:
    view, cursor = following(30)
    assert (at(cursor), seen(cursor)) == (30, list(range(21, 31)))
    view.grow(fresh(31, 35))
    cursor.settle(SCREEN)
    assert (at(cursor), seen(cursor)) == (35, list(range(26, 36)))


def test_moving_up_pauses_and_what_one_sees_stays_whatever_comes_at_either_end() -> None:
    view, cursor = following(30)
    cursor.move(-3, SCREEN)
    before = seen(cursor)
    view.grow(fresh(31, 60))
    cursor.settle(SCREEN)
    assert (at(cursor), seen(cursor)) == (27, before)


def test_an_older_page_moves_nothing_under_the_eye() -> None:
    view = View()
    cursor = Cursor(view)
    view.grow(fresh(101, 130))
    cursor.settle(SCREEN)
    cursor.move(-25, SCREEN)
    before = seen(cursor)
    assert view.prepend(part(view, 51, 100))
    cursor.settle(SCREEN)
    assert seen(cursor) == before


def test_the_end_is_reached_without_following_again() -> None:
    view, cursor = following(30)
    cursor.move(-1, SCREEN)
    cursor.move(1, SCREEN)
    assert at(cursor) == 30
    assert not view.following


def test_a_page_moves_the_screen_with_the_cursor() -> None:
    _, cursor = following(100)
    cursor.move(-9, SCREEN)
    assert (at(cursor), seen(cursor)[0]) == (91, 82)


def test_a_selection_goes_from_where_it_began_to_the_cursor() -> None:
    _, cursor = following(30)
    cursor.anchor = cursor.at
    cursor.move(-2, SCREEN)
    assert [row.event_id for row in cursor.selected] == [28, 29, 30]
    cursor.anchor = None
    assert [row.event_id for row in cursor.selected] == [28]


def test_older_events_are_wanted_near_the_start_and_under_a_filter_that_nothing_in_memory_passes() -> None:
    view, cursor = following(30)
    assert not cursor.wants_older  # event 1 is there
    view.grow(fresh(31, 400))
    assert view.show(part(view, 200, 230))
    cursor.begin()
    cursor.settle(SCREEN)
    assert cursor.wants_older
    assert cursor.wants_newer
    ring = Ring()
    ring.add(fresh(400, 400)[0])
    view.filter_by(ring, lambda row: False)
    cursor.begin()
    assert cursor.wants_older


def test_a_search_that_was_stopped_goes_on_when_one_moves_against_the_end_of_what_is_there() -> None:
    view, cursor = following(400)
    assert view.show(part(view, 200, 230))
    cursor.begin()
    view.halted = True
    assert not cursor.wants_older
    assert not cursor.wants_newer
    cursor.move(2, SCREEN)
    cursor.move(-1, SCREEN)
    assert view.halted
    cursor.move(-1, SCREEN)
    assert view.halted
    cursor.move(-1, SCREEN)
    assert cursor.wants_older
    view.halted = True
    cursor.move(29, SCREEN)
    cursor.move(1, SCREEN)
    cursor.move(1, SCREEN)
    assert cursor.wants_newer
    view.halted = True
    view.filter_by(Ring(), lambda row: False)
    view.low, view.high = 300, 299
    view.halted = True
    cursor.begin()
    cursor.move(-1, SCREEN)
    assert cursor.wants_older  # of an empty table, too


@given(
    st.lists(st.tuples(st.sampled_from(["move", "grow", "older", "screen"]), st.integers(-50, 50)), max_size=30),
)
def test_the_cursor_is_always_in_the_window_and_on_the_screen(steps: list[tuple[str, int]]) -> None:
    view, cursor = following(200, max_rows=60)
    newest, rows = 200, SCREEN
    for step, number in steps:
        if step == "move":
            cursor.move(number, rows)
        elif step == "grow":
            last = min(400, newest + abs(number))
            view.grow(fresh(newest + 1, last))
            newest = last
        elif step == "older" and view.oldest is not None and view.oldest.event_id > 60:
            view.prepend(part(view, view.low - 20, view.low - 1))
        elif step == "screen":
            rows = max(1, abs(number))
        cursor.settle(rows)
        assert view.first <= cursor.at < view.first + len(view.items)
        assert cursor.top <= cursor.at < cursor.top + rows
        assert cursor.top >= view.first
