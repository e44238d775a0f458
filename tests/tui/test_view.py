"""The window on the log that the table shows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from audit_stream.client import Served
from audit_stream.filters import parse
from audit_stream.kinds import DEFAULT_KINDS, Severity
from audit_tui.model.passing import passes
from audit_tui.model.ring import Ring
from audit_tui.model.rows import Check, Gap, Row, read_row
from audit_tui.model.view import View
from tests.tui.fake_log import make_log

ROWS = [read_row(Served(raw), DEFAULT_KINDS) for raw in make_log(400).raw]


def fresh(first: int, last: int) -> list[Row]:
    return [read_row(Served(row.raw), DEFAULT_KINDS) for row in ROWS[first - 1 : last]]


def ids(view: View) -> list[int | tuple[int, int]]:
    return [item.event_id if isinstance(item, Row) else (item.first, item.last) for item in view.items]


def grown(ring: Ring, view: View, first: int, last: int) -> None:
    new = [row for row in fresh(first, last) if ring.add(row)]
    view.grow(new)


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


def test_refilling_returns_to_the_live_end() -> None:
    ring, view = Ring(), View()
    grown(ring, view, 1, 10)
    view.show_page(fresh(1, 3))
    for _ in view.refill(ring):
        pass
    assert ids(view) == list(range(1, 11))
    assert view.following
    assert view.attached
    assert view.waiting == 0


def test_an_older_page_is_linked_to_what_was_there() -> None:
    ring, view = Ring(), View()
    grown(ring, view, 11, 20)
    assert view.items[0].check is Check.GAP  # type: ignore[union-attr]  # the first is an event
    view.prepend(fresh(1, 10), exhausted=True)
    assert {item.check for item in view.items if isinstance(item, Row)} == {Check.LINKED}
    assert view.at_start
    assert view.first == -10


def test_a_window_of_history_is_bounded_and_lets_the_newest_go() -> None:
    view = View(history_rows=50)
    view.show_page(fresh(201, 240))
    for last in (200, 160, 120):
        view.prepend(fresh(last - 39, last), exhausted=False)
    assert len(view.items) == 50
    assert ids(view)[0] == 81
    assert not view.attached


def test_a_missing_event_is_a_row_that_says_so_and_is_filled_once_loaded() -> None:
    ring, view = Ring(), View()
    grown(ring, view, 1, 5)
    grown(ring, view, 9, 12)
    assert ids(view) == [1, 2, 3, 4, 5, (6, 8), 9, 10, 11, 12]
    gap = view.items[5]
    assert isinstance(gap, Gap)
    view.fill(gap, fresh(6, 8), exhausted=False)
    assert ids(view) == list(range(1, 13))
    assert {item.check for item in view.items if isinstance(item, Row)} == {Check.LINKED}


def test_what_the_log_does_not_hold_stays_a_gap_that_says_so() -> None:
    ring, view = Ring(), View()
    grown(ring, view, 1, 5)
    grown(ring, view, 9, 12)
    gap = view.items[5]
    assert isinstance(gap, Gap)
    view.fill(gap, [], exhausted=True)
    filled = view.items[5]
    assert isinstance(filled, Gap)
    assert filled.absent


def test_what_was_missed_is_a_row_also_under_a_filter_until_what_passes_is_loaded() -> None:
    ring, view = Ring(), View()
    grown(ring, view, 1, 50)
    test = passes(parse("kind:request_denied", now_ms=0))
    for _ in view.refill(ring, test, filtered=True):
        pass
    view.pause()
    grown(ring, view, 101, 150)
    denied = [row.event_id for row in ROWS[:150] if row.kind == "request_denied"]
    with_gap = [*(each for each in denied if each <= 50), (51, 100), *(each for each in denied if each > 100)]
    assert ids(view) == with_gap
    assert view.missed == 50
    for _ in view.refill(ring):
        pass
    assert ids(view) == with_gap
    gap = next(item for item in view.items if isinstance(item, Gap))
    missed = [row for row in fresh(51, 100) if row.kind == "request_denied"]
    view.fill(gap, missed[:2], exhausted=False)
    rest = next(item for item in view.items if isinstance(item, Gap))
    assert (rest.first, rest.last, rest.absent) == (missed[1].event_id + 1, 100, False)
    view.fill(rest, missed[2:], exhausted=True)
    assert ids(view) == denied
    assert view.row_count == len(denied)


def test_a_filter_holds_for_what_is_there_and_for_what_comes() -> None:
    ring, view = Ring(), View()
    grown(ring, view, 1, 50)
    for _ in view.refill(ring, passes(parse("kind:request_denied", now_ms=0)), filtered=True):
        pass
    grown(ring, view, 51, 100)
    shown = [item for item in view.items if isinstance(item, Row)]
    assert {row.kind for row in shown} == {"request_denied"}
    assert len(shown) == len(view.items) == sum(row.kind == "request_denied" for row in ROWS[:100])
    assert view.passing_count(ring) == len(shown)


def test_the_newest_are_there_after_the_first_slice() -> None:
    ring, view = Ring(), View()
    grown(ring, view, 1, 400)
    next(iter(view.refill(ring)))
    newest = view.newest
    assert newest is not None
    assert newest.event_id == 400


@given(st.lists(st.sampled_from(["grow", "pause", "resume", "older", "newer", "refill"]), max_size=30))
def test_ids_ascend_and_memory_is_bounded_whatever_happens(steps: list[str]) -> None:
    ring, view = Ring(max_rows=20), View(max_rows=20, history_rows=15)
    at = 200
    grown(ring, view, at - 9, at)
    for step in steps:
        if step == "grow" and at < 390:
            grown(ring, view, at + 1, at + 7)
            at += 7
        elif step == "pause":
            view.pause()
        elif step == "resume" and view.attached:
            view.resume()
        elif step == "older" and view.oldest is not None and view.oldest.event_id > 5:
            view.pause()
            view.prepend(fresh(max(1, view.oldest.event_id - 5), view.oldest.event_id - 1), exhausted=False)
        elif step == "newer" and not view.attached and view.newest is not None and view.newest.event_id < at:
            last = min(at, view.newest.event_id + 5)
            view.append(fresh(view.newest.event_id + 1, last), live=last == at)
        elif step == "refill":
            for _ in view.refill(ring):
                pass
        shown = [item.event_id for item in view.items if isinstance(item, Row)]
        assert shown == sorted(set(shown))
        assert len(view.items) <= 20 + 8
        if view.attached:
            assert shown[-1] == at


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
    view.show_page(fresh(200, 220))
    view.prepend(fresh(150, 199), exhausted=False)
    assert held() <= one * 10
    view.append(fresh(200, 260), live=False)
    assert held() <= one * 10


def test_a_page_somewhere_in_the_history_stays_whole() -> None:
    view = View(history_rows=10)
    view.show_page(fresh(100, 105))
    assert ids(view) == list(range(100, 106))
