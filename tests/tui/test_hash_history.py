"""Hashes of events that are no longer in memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from audit_tui.model.hash_history import HashHistory


def hash_of(event_id: int) -> str:
    return f"{event_id:064x}"


@given(st.integers(1, 10_000), st.integers(0, 60), st.integers(1, 20))
def test_the_last_hashes_are_found_and_no_others(first: int, count: int, room: int) -> None:
    hashes = HashHistory(max_hashes=room)
    for event_id in range(first, first + count):
        hashes.add(event_id, hash_of(event_id))
    held = set(range(max(first, first + count - room), first + count))
    for event_id in range(max(0, first - 3), first + count + 3):
        assert hashes.find(event_id) == (hash_of(event_id) if event_id in held else None)


def test_another_run_of_ids_begins_anew() -> None:
    hashes = HashHistory()
    hashes.add(1, hash_of(1))
    hashes.add(5, hash_of(5))
    assert hashes.find(1) is None
    assert hashes.find(5) == hash_of(5)


def test_what_is_no_hash_ends_the_run() -> None:
    hashes = HashHistory()
    hashes.add(1, hash_of(1))
    hashes.add(2, 'no "hash"')
    hashes.add(3, hash_of(3))
    assert [hashes.find(event_id) for event_id in (1, 2, 3)] == [None, None, hash_of(3)]
