"""What has been found about the integrity of a log, by whom and when."""

from __future__ import annotations

import enum
from collections import deque
from typing import NamedTuple

import msgspec

from audit_stream.chain import Head

__all__ = ["MAX_FINDINGS", "Finder", "Finding", "FindingLog", "Moment"]

MAX_FINDINGS = 500
"""Good ones in a row are one entry, so these are days even of a log with a troubled daemon."""


class Moment(NamedTuple):
    """One instant on two clocks: Unix milliseconds to show, and monotonic seconds to measure spans with."""

    wall_ms: int
    monotonic_s: float


class Finder(enum.Enum):
    """Who says so."""

    DAEMON = "daemon"
    CONSOLE = "console"
    PERSON = "you"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was found, or several alike in a row (`times`), the first and the last of which are timed.

    `what` is safe to show. `checked`, `head` and `duration_ms` are those of the last.
    """

    first_ms: int
    last_ms: int
    by: Finder
    what: str
    good: bool
    times: int = 1
    checked: int | None = None
    head: Head | None = None
    duration_ms: int | None = None
    event_id: int | None = None


class FindingLog:
    """The findings in their order, at most MAX_FINDINGS of them. Belongs to one thread; no clock of its own."""

    def __init__(self) -> None:
        self.entries: deque[Finding] = deque(maxlen=MAX_FINDINGS)
        self._last = Moment(0, 0.0)

    def at(self, now_ms: int, now_s: float) -> Moment:
        """The present moment, from which `estimated` counts on."""
        self._last = Moment(now_ms, now_s)
        return self._last

    def estimated(self, now_s: float) -> Moment:
        """The moment by the monotonic clock alone, counted from the last that was given on both."""
        return Moment(self._last.wall_ms + round((now_s - self._last.monotonic_s) * 1000), now_s)

    def last_was(self, beginning: str, by: Finder) -> bool:
        """Whether the last finding is by this finder and begins like this."""
        last = self.entries[-1] if self.entries else None
        return last is not None and last.by is by and last.what.startswith(beginning)

    def add(
        self,
        by: Finder,
        what: str,
        now: Moment,
        *,
        good: bool,
        merge: bool = False,
        checked: int | None = None,
        head: Head | None = None,
        duration_ms: int | None = None,
        event_id: int | None = None,
    ) -> None:
        """Append a finding; with `merge` it becomes one with the last when that is by the same finder and as good."""
        finding = Finding(
            first_ms=now.wall_ms,
            last_ms=now.wall_ms,
            by=by,
            what=what,
            good=good,
            checked=checked,
            head=head,
            duration_ms=duration_ms,
            event_id=event_id,
        )
        last = self.entries[-1] if self.entries else None
        if merge and last is not None and last.by is by and last.good == good:
            self.entries[-1] = msgspec.structs.replace(finding, first_ms=last.first_ms, times=last.times + 1)
        else:
            self.entries.append(finding)
