"""A producer cannot stop a console by numbers that take long to read."""

from __future__ import annotations

import time

from audit_stream.canonical import hash_of, join, splice_hash
from audit_stream.chain import GENESIS_HASH
from audit_stream.client import RawEvent
from audit_stream.event import EventReader
from audit_stream.event_check import check_served
from audit_stream.kinds import DEFAULT_KINDS
from audit_tui.model.rows import check_after, read_row

CHEAP, COSTLY = b"9e200", b"9e307"  # msgspec takes four hundred times as long for the second


def served(number: bytes) -> RawEvent:
    body = b'{"kind":"other","source":"s","payload":{"a":[%b]}}' % b",".join([number] * 8_000)
    canonical = join(1, EventReader().read(body), GENESIS_HASH)
    return RawEvent(splice_hash(canonical, hash_of(canonical)))


def looked_at(event: RawEvent) -> None:
    row = read_row(event, DEFAULT_KINDS)
    check_after(None, row)
    found = check_served(row.raw, None)
    assert (found.words, found.not_canonical) == ("✓ linked", "")


def seconds(event: RawEvent) -> float:
    """The least of some runs, in time of the processor."""
    took = []
    for _ in range(3):
        began = time.process_time()
        looked_at(event)
        took.append(time.process_time() - began)
    return min(took)


def test_numbers_near_the_end_of_the_range_cost_the_console_about_as_much_as_others() -> None:
    assert seconds(served(COSTLY)) < 5 * seconds(served(CHEAP))
