"""Whether events hold: against the one before, and in an export."""

from __future__ import annotations

import json
from typing import Any

import pytest

from audit_stream.canonical import hash_of, splice_hash
from audit_stream.chain import GENESIS, link
from audit_stream.errors import ChainError
from audit_stream.event import EventReader
from audit_stream.event_check import check_link
from audit_stream.exports import verify_export

READER = EventReader(clock_ms=lambda: 1_780_000_000_000)


def export(count: int) -> list[dict[str, Any]]:
    """Events as GET /events serves them, decoded."""
    body = json.dumps([{"kind": "other", "source": "s", "payload": {"n": n}} for n in range(count)])
    drafts = READER.read_array(body.encode(), max_events=count)
    return [json.loads(splice_hash(each.canonical, each.hash)) for each in link(GENESIS, drafts)]


@pytest.mark.parametrize(
    ("event_id", "prev_hash", "reason"),
    [
        (7, "aa", None),
        (8, "aa", "event_id should be 7, got 8"),
        (7, "ab", "prev_hash mismatch at event #7"),
        (6, "ab", "event_id should be 7, got 6"),
    ],
)
def test_a_link_that_does_not_hold_is_named_in_the_words_of_the_seed(
    event_id: int, prev_hash: str, reason: str | None
) -> None:
    assert check_link(7, "aa", event_id=event_id, prev_hash=prev_hash) == reason


def test_an_export_that_holds_gives_each_event_and_its_bytes() -> None:
    events = export(5)
    checked = list(verify_export(events))
    assert [fields for _, fields in checked] == events
    assert [hash_of(canonical) for canonical, _ in checked] == [event["hash"] for event in events]


def test_an_export_with_other_white_space_and_key_order_holds_as_well() -> None:
    events = [dict(reversed(event.items())) for event in export(3)]
    assert len(list(verify_export(events))) == 3


@pytest.mark.parametrize("event_id", [1, 3, 5])
@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("payload", {"n": "edited"}, "hash mismatch at event #{}"),
        ("timestamp", "2026-05-15T03:14:15Z", "hash mismatch at event #{}"),
        ("source", "t", "hash mismatch at event #{}"),
        ("kind", "request_denied", "hash mismatch at event #{}"),
        ("hash", "0" * 64, "hash mismatch at event #{}"),
        ("prev_hash", "f" * 64, "prev_hash mismatch at event #{}"),
        ("event_id", 99, "event_id should be {}, got 99"),
    ],
)
def test_an_edited_export_fails_at_the_edit(event_id: int, field: str, value: object, reason: str) -> None:
    events = export(5)
    events[event_id - 1][field] = value
    with pytest.raises(ChainError) as caught:
        list(verify_export(events))
    assert (caught.value.event_id, caught.value.reason) == (event_id, reason.format(event_id))


def test_a_gap_and_a_swap_in_an_export_are_found() -> None:
    events = export(5)
    with pytest.raises(ChainError, match="event_id should be 3, got 4"):
        list(verify_export([*events[:2], *events[3:]]))
    with pytest.raises(ChainError, match="event_id should be 2, got 3"):
        list(verify_export([events[0], events[2], events[1]]))
    with pytest.raises(ChainError, match="event_id should be 1, got 2"):
        list(verify_export(events[1:]))
