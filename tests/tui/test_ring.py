"""The last events that came in, each checked as it came."""

from __future__ import annotations

from audit_stream.client import RawEvent
from audit_stream.kinds import DEFAULT_KINDS
from audit_tui.model.ring import Ring
from audit_tui.model.rows import Check, Row, read_row
from tests.tui.fake_log import make_log, tampered


def rows(count: int) -> list[Row]:
    return [read_row(RawEvent(raw), DEFAULT_KINDS) for raw in make_log(count).raw]


def filled(count: int, *, max_rows: int = 50_000, max_bytes: int = 1 << 30) -> Ring:
    ring = Ring(max_rows=max_rows, max_bytes=max_bytes)
    for row in rows(count):
        ring.add(row)
    return ring


def test_a_true_chain_is_linked_from_its_first_event() -> None:
    ring = filled(20)
    assert {row.check for row in ring} == {Check.LINKED}
    assert ring.linked_from == 1
    assert ring.received == 20


def test_the_first_event_of_a_part_of_a_chain_is_not_linked_to_what_was_not_seen() -> None:
    ring = Ring()
    for row in rows(10)[5:]:
        ring.add(row)
    assert [row.check for row in ring] == [Check.GAP, *[Check.LINKED] * 4]
    assert ring.linked_from == 6


def test_an_edited_event_is_broken_and_says_why() -> None:
    raws = make_log(5).raw
    raws[2] = tampered(raws[2], source="mallory")
    ring = Ring()
    for raw in raws:
        ring.add(read_row(RawEvent(raw), DEFAULT_KINDS))
    assert [row.event_id for row in ring if row.check is Check.BROKEN] == [3]
    assert ring.rows[2].reason == "hash mismatch at event #3"


def test_a_missing_event_is_a_gap_after_which_linking_begins_anew() -> None:
    ring = Ring()
    for row in rows(10):
        if row.event_id != 4:
            ring.add(row)
    assert ring.rows[3].check is Check.GAP
    assert ring.linked_from == 5


def test_an_event_that_came_before_is_not_taken_twice() -> None:
    ring = filled(5)
    assert not ring.add(rows(3)[-1])
    assert ring.received == 5


def test_memory_is_bounded_by_rows_and_every_event_is_counted() -> None:
    ring = filled(50, max_rows=10)
    assert [row.event_id for row in ring] == list(range(41, 51))
    assert ring.received == 50
    assert ring.linked_from == 1


def test_memory_is_bounded_by_bytes() -> None:
    one = len(rows(1)[0].raw)
    ring = filled(50, max_bytes=one * 10)
    assert len(ring) <= 10


def test_events_are_found_by_id_also_beside_a_gap() -> None:
    ring = Ring()
    for row in rows(20):
        if row.event_id not in (7, 8):
            ring.add(row)
    found = {row.event_id: ring.find(row.event_id) for row in rows(20)}
    assert [event_id for event_id, row in found.items() if row is None] == [7, 8]
    assert all(row is None or row.event_id == event_id for event_id, row in found.items())


def test_what_follows_an_id_is_told_only_when_nothing_of_it_is_gone() -> None:
    ring = filled(30, max_rows=10)
    after = ring.after(25, 100)
    assert after is not None
    assert [row.event_id for row in after] == [26, 27, 28, 29, 30]
    assert ring.after(5, 100) is None
