"""Marks and notes that people put on events, kept by the event's hash: they hold for it wherever it is."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

import msgspec

from audit_stream.kinds import Severity
from audit_tui.storage.json_file import JsonFile, storable

__all__ = ["MAX_NOTE", "Mark", "Marks"]

MAX_NOTE = 4_000
"""Characters of a note; more is cut."""
_MAX_BYTES = 1 << 26


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """A marked event, with what a hand-over needs to name it; `note` may be empty.

    `url` is the log in which it was marked, `timestamp` the event's own, `marked_at_ms` counts from 1970.
    """

    hash: str
    event_id: int
    timestamp: str
    kind: str
    source: str
    url: str
    severity: Severity = Severity.INFO
    note: str = ""
    marked_at_ms: int = 0


class _Content(msgspec.Struct, frozen=True):
    """What the file holds."""

    marks: dict[str, Mark] = {}


class Marks:
    """All marks of this person, of all daemons.

    `load` and `save` work on the file: call them in a thread. The rest only touches memory and never waits, so that a
    row can be drawn with it. A change is remembered as a change until it is saved, so that two consoles which mark
    different events keep both; of one event the later save stands.
    """

    def __init__(self, directory: Path) -> None:
        self.problems: list[str] = []
        self._record = JsonFile(
            directory / "marks.json",
            _Content,
            what="the file of marks",
            max_bytes=_MAX_BYTES,
            problems=self.problems,
            fits=lambda found: all(key == mark.hash for key, mark in found.marks.items()),
        )
        self._lock = threading.Lock()
        self._saved: dict[str, Mark] = {}
        self._changes: dict[str, Mark | None] = {}

    def load(self) -> None:
        """Read the file; changes made before that hold."""
        found = self._record.read()
        with self._lock:
            self._saved = {} if found is None else found.marks

    def save(self) -> None:
        """Write what has changed since the last time; does nothing when nothing has."""
        with self._lock:
            changes = dict(self._changes)
        if not changes:
            return
        written = self._record.change(lambda found: _Content(_changed(found.marks if found else {}, changes)))
        if written is None:
            return
        with self._lock:
            self._saved = written.marks
            self._changes = {key: mark for key, mark in self._changes.items() if changes.get(key, self) is not mark}

    @property
    def unsaved(self) -> bool:
        """Whether `save` has something to do."""
        return bool(self._changes)

    def get(self, event_hash: str) -> Mark | None:
        """The mark on the event of this hash."""
        with self._lock:
            if event_hash in self._changes:
                return self._changes[event_hash]
            return self._saved.get(event_hash)

    def all(self) -> tuple[Mark, ...]:
        """Every mark, the earliest made first."""
        with self._lock:
            marks = _changed(self._saved, self._changes)
        return tuple(sorted(marks.values(), key=lambda mark: (mark.marked_at_ms, mark.event_id, mark.hash)))

    def toggle(self, mark: Mark) -> bool:
        """Set this mark on an event that has none, otherwise remove it, note and all. Whether there is one now."""
        marked = self.get(mark.hash) is None
        self._change(mark.hash, mark if marked else None)
        return marked

    def set_note(self, mark: Mark, note: str) -> Mark:
        """The mark with this note, on its event, which is marked thereby; an empty note leaves it marked."""
        present = self.get(mark.hash) or mark
        noted = msgspec.structs.replace(present, note=note.strip()[:MAX_NOTE])
        return self._change(mark.hash, noted) or noted

    def _change(self, event_hash: str, mark: Mark | None) -> Mark | None:
        if mark is not None:
            mark = msgspec.structs.replace(mark, url=storable(mark.url), note=storable(mark.note))
        with self._lock:
            self._changes[event_hash] = mark
        return mark


def _changed(marks: Mapping[str, Mark], changes: Mapping[str, Mark | None]) -> dict[str, Mark]:
    both = {**marks, **changes}
    return {key: mark for key, mark in both.items() if mark is not None}
