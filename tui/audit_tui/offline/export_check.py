"""The verdict on an export: every hash recomputed and every link compared, in the order of the ids.

Where ids are missing, or come before the first, the export is a part of a log: whether somebody filtered it or took
events out of it cannot be told apart.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import BinaryIO

import msgspec

from audit_stream.chain import GENESIS, Head, Verdict
from audit_stream.event import system_clock_ms
from audit_stream.event_check import EventCheck, check_served
from audit_stream.timestamps import format_rfc3339_ms
from audit_tui.model.part_verdict import NAMED_LINKS, PartVerdict
from audit_tui.offline.export_file import ExportFile, as_served, read_event

__all__ = ["ExportCheck"]


class ExportCheck:
    """A walk in steps, so that other work comes between. All of it belongs to one thread.

    A link whose other end is not in the file is not known: it is taken as it is, and counted.
    """

    def __init__(self, path: Path, export: ExportFile) -> None:
        self._path = path
        self._export = export
        self._index = 0
        self._started_ms = system_clock_ms()
        self._started_s = time.perf_counter()
        first = export.ids[0] if export.ids else 1
        self._before: Head | None = GENESIS if first <= 1 else None
        leads = any(each.after_id == 0 for each in export.not_events)
        self._expected = max(1, first - 1 if leads else first)
        self._broken: tuple[int, str] | None = None
        self._unseen_links = 0
        self._first_unseen: list[tuple[int, int]] = []

    def step(self, events: int) -> Verdict | None:
        """Check the next events; the verdict once it stands. Raises OSError."""
        export = self._export
        last = min(self._index + events, len(export.ids))
        with self._path.open("rb") as file:
            while self._index < last and self._broken is None:
                self._broken = self._misplaced() or self._check(file)
        if self._broken is None and self._index == len(export.ids):
            self._broken = self._misplaced()
        done = self._broken is not None or self._index == len(export.ids)
        return self._verdict() if done else None

    def _misplaced(self) -> tuple[int, str] | None:
        """The break when what comes next in the file is no event."""
        after_id = self._export.ids[self._index - 1] if self._index else 0
        for each in self._export.not_events:
            if each.after_id == after_id:
                return self._expected, each.reason
        return None

    def _check(self, file: BinaryIO) -> tuple[int, str] | None:
        event_id = self._export.ids[self._index]
        if self._is_there_twice():
            return event_id, f"event #{event_id} is in the file twice"
        if event_id > self._expected:
            self._skip_to(event_id)
        found = self._look_at(file)
        if found is None or found.event_id != event_id:
            return self._expected, f"event #{event_id} cannot be read: the file has changed"
        if not found.holds:
            return event_id, found.reasons[0]
        self._before, self._expected, self._index = Head(event_id, found.carried_hash), event_id + 1, self._index + 1
        return None

    def _look_at(self, file: BinaryIO) -> EventCheck | None:
        """The next event beside the one before it; None when there is none at its place any more."""
        raw = as_served(self._export.read(file, self._index))
        if raw is None:
            return None
        try:
            return check_served(raw, self._before)
        except (msgspec.DecodeError, UnicodeDecodeError):  # it holds half a character
            event = read_event(raw)
            return None if event is None else check_served(raw, self._before, event=event)

    def _skip_to(self, event_id: int) -> None:
        """Events are missing before this one: what links it to those that were checked cannot be seen."""
        if self._index:
            self._unseen_links += 1
            if len(self._first_unseen) < NAMED_LINKS:
                self._first_unseen.append((self._export.ids[self._index - 1], event_id))
        self._before, self._expected = None, event_id

    def _is_there_twice(self) -> bool:
        """Whether another of the same id follows: which of them the log holds, the file cannot say."""
        ids, after = self._export.ids, self._index + 1
        return after < len(ids) and ids[after] == ids[self._index]

    def _verdict(self) -> Verdict:
        broken = self._broken
        verdict = Verdict(
            valid=broken is None,
            checked=self._index,
            first_break_at=None if broken is None else broken[0],
            reason=None if broken is None else broken[1],
            head=self._before,
            duration_ms=round((time.perf_counter() - self._started_s) * 1000),
            started_at=format_rfc3339_ms(self._started_ms),
            verified_at=format_rfc3339_ms(system_clock_ms()),
        )
        first_id = self._export.ids[0] if self._export.ids else 1
        if broken is not None or not (self._unseen_links or first_id > 1 or self._export.ends_within):
            return verdict
        return PartVerdict(
            **msgspec.structs.asdict(verdict),
            unseen_links=self._unseen_links,
            first_unseen=tuple(self._first_unseen),
            first_id=first_id,
            ends_within=self._export.ends_within,
        )
