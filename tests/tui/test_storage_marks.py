"""Marks and notes on events: kept by hash, shared by consoles."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_stream.kinds import Severity
from audit_tui.storage.marks import MAX_NOTE, Mark, Marks

NOW_MS = 1_780_000_000_000


def mark(event_id: int = 42, **fields: object) -> Mark:
    whole = Mark(
        hash=f"{event_id:064x}",
        event_id=event_id,
        timestamp="2026-05-15T03:14:15.000+00:00",
        kind="incident_filed",
        source="incident-correlation-rs",
        url="http://127.0.0.1:8093",
        severity=Severity.CRITICAL,
        marked_at_ms=NOW_MS + event_id,
    )
    return msgspec.structs.replace(whole, **fields)


def saved(directory: Path) -> tuple[Mark, ...]:
    again = Marks(directory)
    again.load()
    assert again.problems == []
    return again.all()


def test_a_mark_is_there_before_it_is_saved_and_in_the_next_console(tmp_path: Path) -> None:
    marks = Marks(tmp_path)
    assert marks.toggle(mark())
    assert marks.get(mark().hash) == mark()
    assert marks.unsaved
    marks.save()
    assert not marks.unsaved
    assert saved(tmp_path) == (mark(),)


def test_a_second_toggle_takes_the_mark_and_its_note_away(tmp_path: Path) -> None:
    marks = Marks(tmp_path)
    marks.set_note(mark(), "look here")
    marks.save()
    assert not marks.toggle(mark())
    assert marks.get(mark().hash) is None
    assert marks.all() == ()
    marks.save()
    assert saved(tmp_path) == ()


def test_a_note_marks_its_event_and_keeps_when_it_was_marked(tmp_path: Path) -> None:
    marks = Marks(tmp_path)
    marks.toggle(mark())
    noted = marks.set_note(mark(marked_at_ms=NOW_MS * 2), "  why?\n")
    assert (noted.note, noted.marked_at_ms) == ("why?", mark().marked_at_ms)
    assert marks.set_note(mark(), "").note == ""
    assert marks.get(mark().hash) == mark()
    assert marks.set_note(mark(7), "new") == marks.get(mark(7).hash) == mark(7, note="new")


def test_a_note_is_cut_at_its_limit(tmp_path: Path) -> None:
    assert len(Marks(tmp_path).set_note(mark(), "x" * (MAX_NOTE + 1)).note) == MAX_NOTE


def test_two_consoles_that_mark_different_events_keep_both(tmp_path: Path) -> None:
    one, other = Marks(tmp_path), Marks(tmp_path)
    one.load()
    other.load()
    one.toggle(mark(1))
    other.toggle(mark(2))
    one.save()
    other.save()
    assert other.all() == saved(tmp_path) == (mark(1), mark(2))
    one.toggle(mark(1))
    one.save()
    other.toggle(mark(3))
    other.save()
    assert other.all() == saved(tmp_path) == (mark(2), mark(3))


def test_what_changes_while_it_is_saved_is_saved_the_next_time(tmp_path: Path) -> None:
    marks = Marks(tmp_path)
    marks.toggle(mark(1))
    change = marks._record.change

    def slow(apply: object) -> object:
        marks.toggle(mark(2))
        return change(apply)  # type: ignore[arg-type]  # passed on as it came

    marks._record.change = slow  # type: ignore[assignment,method-assign]  # as above
    marks.save()
    marks._record.change = change  # type: ignore[method-assign]  # as above
    assert marks.unsaved
    assert marks.all() == (mark(1), mark(2))
    marks.save()
    assert saved(tmp_path) == (mark(1), mark(2))


def test_marks_made_before_the_file_was_read_hold(tmp_path: Path) -> None:
    first = Marks(tmp_path)
    first.toggle(mark(1))
    first.save()
    second = Marks(tmp_path)
    second.toggle(mark(2))
    second.load()
    assert second.all() == (mark(1), mark(2))


def test_a_damaged_file_is_said_and_kept_and_marking_goes_on(tmp_path: Path) -> None:
    (tmp_path / "marks.json").write_bytes(b'{"marks":{"a":')
    marks = Marks(tmp_path)
    marks.load()
    marks.toggle(mark())
    marks.save()
    assert len(marks.problems) == 1
    assert saved(tmp_path) == (mark(),)
    assert len(list(tmp_path.glob("marks.json.corrupt-*"))) == 1


def test_marks_that_cannot_be_saved_stay_and_are_tried_again(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.write_bytes(b"")
    marks = Marks(state)
    marks.toggle(mark())
    marks.save()
    assert marks.unsaved
    assert marks.all() == (mark(),)
    state.unlink()
    marks.save()
    assert saved(state) == (mark(),)


def test_a_log_whose_path_is_no_text_can_be_marked(tmp_path: Path) -> None:
    marks = Marks(tmp_path)
    marks.toggle(mark(url=os.fsdecode(b"/evidence/\xff.db")))
    marks.save()
    assert [each.url for each in saved(tmp_path)] == ["/evidence/\\udcff.db"]


texts = st.text(st.characters(codec="utf-8"), max_size=20)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.integers(1, 9), st.tuples(texts, texts, texts, st.sampled_from(Severity)), max_size=5))
def test_whatever_an_event_holds_comes_back(
    tmp_path_factory: pytest.TempPathFactory, events: dict[int, tuple[str, str, str, Severity]]
) -> None:
    directory = tmp_path_factory.mktemp("marks")
    marks = Marks(directory)
    for event_id, (timestamp, kind, note, severity) in events.items():
        marks.set_note(mark(event_id, timestamp=timestamp, kind=kind, source=kind, severity=severity), note)
    marks.save()
    assert saved(directory) == marks.all()
    assert len(marks.all()) == len(events)
