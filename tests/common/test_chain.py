"""The chain: numbering and linking."""

from __future__ import annotations

import json

from audit_stream.canonical import hash_of
from audit_stream.chain import GENESIS, GENESIS_HASH, Head, link
from audit_stream.event import EventReader

READER = EventReader(clock_ms=lambda: 1_780_000_000_000)


def test_events_are_numbered_from_1_and_each_holds_the_hash_of_the_one_before() -> None:
    drafts = READER.read_array(b'[{"kind":"other","source":"s"},{"kind":"other","source":"s"}]', max_events=2)
    first, second = link(GENESIS, drafts)
    assert (first.event_id, second.event_id) == (1, 2)
    assert json.loads(first.canonical)["prev_hash"] == GENESIS_HASH == "0" * 64
    assert json.loads(second.canonical)["prev_hash"] == first.hash == hash_of(first.canonical)


def test_linking_goes_on_after_any_head() -> None:
    (event,) = link(Head(41, "ab" * 32), READER.read_array(b'[{"kind":"other","source":"s"}]', max_events=1))
    assert event.event_id == 42
    assert b'"prev_hash":"' + b"ab" * 32 in event.canonical


def test_linking_nothing_gives_nothing() -> None:
    assert list(link(GENESIS, [])) == []
