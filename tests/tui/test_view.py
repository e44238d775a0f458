"""The window on the log that the table shows."""

from __future__ import annotations

from audit_stream.client import RawEvent
from audit_stream.filters import parse
from audit_stream.kinds import DEFAULT_KINDS, Severity
from audit_tui.model.part import Part, of_log
from audit_tui.model.passing import Passes, everything, passes
from audit_tui.model.ring import Ring
from audit_tui.model.rows import Check, Gap, Row, read_row
from audit_tui.model.view import View
from tests.tui.fake_log import make_log

ROWS = [read_row(RawEvent(raw), DEFAULT_KINDS) for raw in make_log(400).raw]


def fresh(first: int, last: int) -> list[Row]:
    return [read_row(RawEvent(row.raw), DEFAULT_KINDS) for row in ROWS[first - 1 : last]]


def ids(view: View) -> list[int | tuple[int, int]]:
    return [item.event_id if isinstance(item, Row) else (item.first, item.last) for item in view.items]


def grown(ring: Ring, view: View, first: int, last: int) -> None:
    new = [row for row in fresh(first, last) if ring.add(row)]
    view.grow(new)


def seen(view: View, rows: list[Row], *, low: int | None = None, high: int | None = None) -> Part:
    """What the log gave the window of `low` to `high`, by default of the ids of these rows."""
    low = rows[0].event_id if low is None else low
    high = rows[-1].event_id if high is None else high
    return of_log(view.beginning, low, high, rows, filtered=view.filtered)


def history(first: int, last: int, *, live: int = 400, history_rows: int = 1000) -> View:
    """A window of these events, of a log whose last that came in is `live`."""
    view = View(history_rows=history_rows)
    view.grow(fresh(live, live))
    assert view.show(seen(view, fresh(first, last)))
    return view


def refilled(view: View, ring: Ring, test: Passes | None = None) -> None:
    if test is None:
        view.begin(ring)
    else:
        view.filter_by(ring, test, filtered=test is not everything)
    while view.look_back(ring):
        pass


def test_it_follows_the_live_end_and_lets_the_oldest_go() -> None:
    ring, view = Ring(max_rows=10), View(max_rows=10)
    grown(ring, view, 1, 25)
    assert ids(view) == list(range(16, 26))
    assert view.first == 15


def test_paused_nothing_moves_and_what_comes_is_counted_with_the_worst() -> None:
    ring, view = Ring(), View()
    grown(ring, view, 1, 10)
    view.pause()
    before = list(view.items)
    grown(ring, view, 11, 20)
    assert list(view.items)[:10] == before
    assert view.waiting == 10
    assert view.worst is Severity.CRITICAL


def test_a_full_window_detaches_while_paused_instead_of_moving() -> None:
    ring, view = Ring(max_rows=10), View(max_rows=10)
    grown(ring, view, 1, 10)
    view.pause()
    grown(ring, view, 11, 30)
    assert ids(view) == list(range(1, 11))
    assert not view.attached
    assert view.waiting == 20


def test_beginning_anew_returns_to_the_live_end() -> None:
    ring, view = Ring(), View()
    grown(ring, view, 1, 10)
    assert view.show(seen(view, fresh(1, 3)))
    refilled(view, ring)
    assert ids(view) == list(range(1, 11))
    assert view.following
    assert view.attached
    assert view.waiting == 0


def test_an_older_page_is_linked_to_what_was_there() -> None:
    ring, view = Ring(), View()
    grown(ring, view, 11, 20)
    assert view.items[0].check is Check.GAP  # type: ignore[union-attr]  # the first is an event
    assert view.prepend(seen(view, fresh(1, 10)))
    assert {item.check for item in view.items if isinstance(item, Row)} == {Check.LINKED}
    assert view.at_start
    assert view.first == -10


def test_a_window_of_history_is_bounded_and_lets_the_newest_go() -> None:
    view = history(201, 240, history_rows=50)
    for last in (200, 160, 120):
        assert view.prepend(seen(view, fresh(last - 39, last)))
    assert len(view.items) == 50
    assert ids(view)[0] == 81
    assert not view.attached
    assert view.append(seen(view, fresh(131, 140)))


def test_what_was_not_read_for_the_window_or_does_not_adjoin_it_is_refused() -> None:
    view = history(100, 120)
    late = seen(view, fresh(90, 99))
    assert not view.prepend(seen(view, fresh(90, 100)))
    assert not view.prepend(seen(view, fresh(90, 98)))
    assert not view.append(seen(view, fresh(120, 130)))
    assert not view.append(seen(view, fresh(122, 130)))
    view.filter_by(Ring(), everything)
    assert not view.prepend(late)
    assert not view.show(late)
    assert ids(view) == []


def test_a_log_that_gives_other_events_than_were_asked_for_puts_none_of_them_into_the_window() -> None:
    view = history(100, 120)
    rows = [*fresh(95, 97), *fresh(96, 96), *fresh(110, 110), *fresh(99, 99), *fresh(99, 99), *fresh(80, 80)]
    assert view.prepend(seen(view, rows, low=90, high=99))
    assert ids(view)[:6] == [(90, 94), 95, 96, 97, (98, 98), 99]


def test_a_missing_event_is_a_row_that_says_so_and_is_filled_once_loaded() -> None:
    ring, view = Ring(), View()
    grown(ring, view, 1, 5)
    grown(ring, view, 9, 12)
    assert ids(view) == [1, 2, 3, 4, 5, (6, 8), 9, 10, 11, 12]
    gap = view.items[5]
    assert isinstance(gap, Gap)
    assert view.fill(gap, seen(view, fresh(6, 8)))
    assert ids(view) == list(range(1, 13))
    assert {item.check for item in view.items if isinstance(item, Row)} == {Check.LINKED}


def test_what_the_log_does_not_hold_stays_a_gap_that_says_so() -> None:
    ring, view = Ring(), View()
    grown(ring, view, 1, 5)
    grown(ring, view, 9, 12)
    gap = view.items[5]
    assert isinstance(gap, Gap)
    assert view.fill(gap, seen(view, [], low=6, high=8))
    filled = view.items[5]
    assert isinstance(filled, Gap)
    assert filled.absent


def test_what_was_missed_is_a_row_also_under_a_filter_until_what_passes_is_loaded() -> None:
    ring, view = Ring(), View()
    grown(ring, view, 1, 50)
    test = passes(parse("kind:request_denied", now_ms=0))
    refilled(view, ring, test)
    view.pause()
    grown(ring, view, 101, 150)
    denied = [row.event_id for row in ROWS[:150] if row.kind == "request_denied"]
    with_gap = [*(each for each in denied if each <= 50), (51, 100), *(each for each in denied if each > 100)]
    assert ids(view) == with_gap
    assert view.missed == 50
    refilled(view, ring)
    assert ids(view) == with_gap
    gap = next(item for item in view.items if isinstance(item, Gap))
    missed = [row for row in fresh(51, 100) if row.kind == "request_denied"]
    assert view.fill(gap, seen(view, missed[:2], low=51))
    rest = next(item for item in view.items if isinstance(item, Gap))
    assert (rest.first, rest.last, rest.absent) == (missed[1].event_id + 1, 100, False)
    assert view.fill(rest, seen(view, missed[2:], low=rest.first, high=rest.last))
    assert ids(view) == denied
    assert view.row_count == len(denied)


def test_a_filter_holds_for_what_is_there_and_for_what_comes() -> None:
    ring, view = Ring(), View()
    grown(ring, view, 1, 50)
    refilled(view, ring, passes(parse("kind:request_denied", now_ms=0)))
    grown(ring, view, 51, 100)
    shown = [item for item in view.items if isinstance(item, Row)]
    assert {row.kind for row in shown} == {"request_denied"}
    assert len(shown) == len(view.items) == sum(row.kind == "request_denied" for row in ROWS[:100])
    assert (view.row_count, view.looked_at) == (len(shown), 100)


def test_the_newest_are_there_after_the_first_slice() -> None:
    ring, view = Ring(), View(slice_rows=100)
    grown(ring, view, 1, 400)
    view.begin(ring)
    assert view.look_back(ring)
    assert len(view.items) == 100
    newest = view.newest
    assert newest is not None
    assert newest.event_id == 400


def test_memory_is_bounded_by_bytes_following_paused_and_in_the_history() -> None:
    one = len(ROWS[0].raw) + 20
    ring = Ring(max_bytes=one * 10)
    view = View(max_bytes=one * 10, history_bytes=one * 10)

    def held() -> int:
        return sum(len(item.raw) for item in view.items if isinstance(item, Row))

    grown(ring, view, 1, 100)
    assert held() <= one * 10
    view.pause()
    grown(ring, view, 101, 200)
    assert held() <= one * 11
    assert not view.attached
    view.grow(fresh(400, 400))
    assert view.show(seen(view, fresh(200, 220)))
    assert view.prepend(seen(view, fresh(150, 199)))
    assert held() <= one * 10
    newest = view.high
    assert view.append(seen(view, fresh(newest + 1, 260)))
    assert held() <= one * 10


def test_a_page_somewhere_in_the_history_stays_whole() -> None:
    assert ids(history(100, 105, history_rows=10)) == list(range(100, 106))
