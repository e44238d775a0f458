"""Remembered heads: by them a rewritten history is noticed, so none may be lost or come back by accident."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_stream.chain import GENESIS, Head
from audit_tui.storage.heads import MAX_HEADS, HeadMemory, RememberedHead, thinned

URL = "http://127.0.0.1:8093"
HOUR_MS = 3_600_000
NOW_MS = 1_780_000_000_000


def head(event_id: int, history: str = "a") -> Head:
    return Head(event_id, f"{event_id:063x}{history}")


def ids(memory: HeadMemory, url: str = URL) -> list[int]:
    return [each.event_id for each in memory.heads(url)]


def files(directory: Path) -> list[Path]:
    return sorted((directory / "heads").glob("*.json"))


def test_heads_are_there_in_the_next_console(tmp_path: Path) -> None:
    memory = HeadMemory(tmp_path)
    memory.remember(URL, head(3), NOW_MS)
    memory.remember(URL, head(5), NOW_MS + 1)
    memory.flush()
    assert HeadMemory(tmp_path).heads(URL) == memory.heads(URL)
    assert ids(memory) == [3, 5]


def test_each_daemon_has_a_memory_of_its_own(tmp_path: Path) -> None:
    memory = HeadMemory(tmp_path)
    memory.remember(URL, head(3), NOW_MS)
    memory.remember("/evidence/\udcff.db", head(9), NOW_MS)
    memory.flush()
    again = HeadMemory(tmp_path)
    assert (ids(again), ids(again, "/evidence/\udcff.db"), ids(again, "http://other")) == ([3], [9], [])
    assert len(files(tmp_path)) == 2


def test_an_empty_history_leaves_no_trace(tmp_path: Path) -> None:
    memory = HeadMemory(tmp_path)
    memory.remember(URL, GENESIS, NOW_MS)
    memory.flush()
    assert memory.heads(URL) == ()
    assert not (tmp_path / "heads").exists()


def test_what_is_remembered_before_the_file_is_read_is_added_to_it(tmp_path: Path) -> None:
    first = HeadMemory(tmp_path)
    first.remember(URL, head(3), NOW_MS)
    first.flush()
    second = HeadMemory(tmp_path)
    second.remember(URL, head(4), NOW_MS)
    assert ids(second) == [3, 4]


def test_the_same_head_again_is_one_head_seen_longer(tmp_path: Path) -> None:
    memory = HeadMemory(tmp_path)
    memory.remember(URL, head(3), NOW_MS)
    memory.remember(URL, head(3), NOW_MS + HOUR_MS)
    [only] = memory.heads(URL)
    assert (only.first_seen_ms, only.last_seen_ms) == (NOW_MS, NOW_MS + HOUR_MS)


def test_an_idle_daemon_costs_a_write_a_minute(tmp_path: Path) -> None:
    memory = HeadMemory(tmp_path)
    memory.remember(URL, head(3), NOW_MS)
    memory.save_if_due(NOW_MS)
    memory.remember(URL, head(3), NOW_MS + 59_000)
    assert not memory.due(NOW_MS + 59_000)
    memory.remember(URL, head(3), NOW_MS + 60_000)
    assert memory.due(NOW_MS + 60_000)


def test_it_writes_at_most_every_five_seconds_and_whatever_is_left_at_the_end(tmp_path: Path) -> None:
    memory = HeadMemory(tmp_path)
    memory.remember(URL, head(3), NOW_MS)
    memory.save_if_due(NOW_MS)
    memory.remember(URL, head(4), NOW_MS + 1)
    memory.save_if_due(NOW_MS + 4_999)
    assert ids(HeadMemory(tmp_path)) == [3]
    memory.save_if_due(NOW_MS + 5_000)
    assert ids(HeadMemory(tmp_path)) == [3, 4]
    memory.remember(URL, head(5), NOW_MS + 5_001)
    memory.flush()
    assert ids(HeadMemory(tmp_path)) == [3, 4, 5]


def test_a_clock_that_was_set_back_does_not_stop_the_writing(tmp_path: Path) -> None:
    memory = HeadMemory(tmp_path)
    memory.remember(URL, head(3), NOW_MS)
    memory.save_if_due(NOW_MS)
    memory.remember(URL, head(4), NOW_MS - HOUR_MS)
    assert memory.due(NOW_MS - HOUR_MS)


def test_two_consoles_add_to_one_another(tmp_path: Path) -> None:
    one, other = HeadMemory(tmp_path), HeadMemory(tmp_path)
    one.remember(URL, head(3), NOW_MS)
    other.remember(URL, head(4), NOW_MS)
    one.flush()
    other.flush()
    one.remember(URL, head(5), NOW_MS)
    one.flush()
    assert ids(one) == ids(HeadMemory(tmp_path)) == [3, 4, 5]


def test_two_heads_of_one_number_are_both_kept(tmp_path: Path) -> None:
    one, other = HeadMemory(tmp_path), HeadMemory(tmp_path)
    one.remember(URL, head(3, "a"), NOW_MS)
    other.remember(URL, head(3, "b"), NOW_MS + 1)
    one.flush()
    other.flush()
    assert {each.hash[-1] for each in HeadMemory(tmp_path).heads(URL)} == {"a", "b"}


def test_an_accepted_history_replaces_the_heads_and_leaves_a_record_of_it(tmp_path: Path) -> None:
    memory = HeadMemory(tmp_path)
    memory.remember(URL, head(3), NOW_MS)
    memory.remember(URL, head(9), NOW_MS)
    memory.accept(URL, head(4, "b"), NOW_MS + 1)
    again = HeadMemory(tmp_path)
    assert [(each.event_id, each.hash) for each in again.heads(URL)] == [(4, head(4, "b").hash)]
    [accepted] = again.accepted(URL)
    assert (accepted.at_ms, accepted.event_id) == (NOW_MS + 1, 4)
    assert accepted.given_up is not None
    assert accepted.given_up.event_id == 9


def test_an_empty_history_can_be_accepted(tmp_path: Path) -> None:
    memory = HeadMemory(tmp_path)
    memory.remember(URL, head(3), NOW_MS)
    memory.accept(URL, GENESIS, NOW_MS + 1)
    again = HeadMemory(tmp_path)
    assert again.heads(URL) == ()
    assert len(again.accepted(URL)) == 1


def test_a_console_with_the_old_history_does_not_bring_it_back(tmp_path: Path) -> None:
    accepting, late = HeadMemory(tmp_path), HeadMemory(tmp_path)
    accepting.remember(URL, head(9), NOW_MS)
    accepting.flush()
    assert ids(late) == [9]
    accepting.accept(URL, head(4, "b"), NOW_MS - HOUR_MS)  # whatever its clock says
    late.remember(URL, head(10), NOW_MS)
    late.flush()
    assert ids(late) == ids(HeadMemory(tmp_path)) == [4]
    late.remember(URL, head(5, "b"), NOW_MS)
    late.flush()
    assert ids(HeadMemory(tmp_path)) == [4, 5]


def test_a_damaged_memory_is_said_and_begun_anew(tmp_path: Path) -> None:
    memory = HeadMemory(tmp_path)
    memory.remember(URL, head(3), NOW_MS)
    memory.flush()
    [path] = files(tmp_path)
    path.write_bytes(path.read_bytes()[:-20])
    again = HeadMemory(tmp_path)
    assert again.heads(URL) == ()
    assert URL in again.problems[0]
    again.remember(URL, head(4), NOW_MS)
    again.flush()
    assert ids(HeadMemory(tmp_path)) == [4]


def test_the_memory_of_another_daemon_is_not_taken_for_ones_own(tmp_path: Path) -> None:
    memory = HeadMemory(tmp_path)
    for url in (URL, "http://other"):
        memory.remember(url, head(3), NOW_MS)
    memory.flush()
    one, other = files(tmp_path)
    one.write_bytes(other.read_bytes())
    again = HeadMemory(tmp_path)
    assert sorted([ids(again), ids(again, "http://other")]) == [[], [3]]
    assert len(again.problems) == 1


def test_without_a_disk_it_remembers_as_long_as_it_lives(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"")
    memory = HeadMemory(tmp_path / "state")
    for event_id in (3, 4):
        memory.remember(URL, head(event_id), NOW_MS)
        memory.flush()
    assert ids(memory) == [3, 4]
    assert len(memory.problems) == 2  # neither read nor saved, each said once
    assert memory.due(NOW_MS)


def test_remembering_while_another_thread_saves_loses_nothing(tmp_path: Path) -> None:
    memory = HeadMemory(tmp_path)
    ended = threading.Event()

    def save() -> None:
        while not ended.is_set():
            memory.flush()

    saving = threading.Thread(target=save)
    saving.start()
    for event_id in range(1, 51):
        memory.remember(URL, head(event_id), NOW_MS)
    ended.set()
    saving.join()
    memory.flush()
    assert ids(HeadMemory(tmp_path)) == list(range(1, 51))


@st.composite
def histories(draw: st.DrawFn) -> list[RememberedHead]:
    steps = draw(st.lists(st.tuples(st.integers(1, 10**6), st.integers(0, 50 * HOUR_MS)), max_size=150))
    event_id, now_ms, found = 0, NOW_MS, []
    for events, ms in steps:
        event_id, now_ms = event_id + events, now_ms + ms
        found.append(
            RememberedHead(event_id=event_id, hash=head(event_id).hash, first_seen_ms=now_ms, last_seen_ms=now_ms)
        )
    return found


@settings(max_examples=60, deadline=None)
@given(histories())
def test_thinning_keeps_few_with_the_newest_and_the_oldest_and_does_not_depend_on_the_order(
    heads: list[RememberedHead],
) -> None:
    kept = thinned(heads)
    assert len(kept) <= MAX_HEADS
    assert set(kept) <= set(heads)
    assert list(kept) == sorted(kept, key=lambda each: each.event_id)
    assert kept[-1:] == tuple(heads[-1:])
    assert kept[:1] == tuple(heads[:1])
    assert thinned(reversed(heads)) == kept
    assert thinned(kept) == kept


def test_the_last_of_each_hour_and_of_each_day_stays() -> None:
    heads = [
        RememberedHead(event_id=n, hash=head(n).hash, first_seen_ms=n * HOUR_MS // 4, last_seen_ms=n * HOUR_MS // 4)
        for n in range(1, 1_000)
    ]
    kept = {each.event_id for each in thinned(heads)}
    assert {4 * hour + 3 for hour in range(226, 250)} <= kept
    assert {96 * day + 95 for day in range(10)} <= kept


@pytest.mark.parametrize("count", [1, 500])
def test_remembering_one_by_one_stays_bounded(tmp_path: Path, count: int) -> None:
    memory = HeadMemory(tmp_path)
    for event_id in range(1, count + 1):
        memory.remember(URL, head(event_id), NOW_MS + event_id * HOUR_MS)
    found = ids(memory)
    assert found[0] == 1
    assert found[-1] == count
    assert len(found) <= MAX_HEADS
