"""What has been found about the integrity of a log, by whom and when."""

from __future__ import annotations

import enum
from collections import deque
from typing import NamedTuple

import msgspec

from audit_stream.chain import Head

__all__ = ["MAX_FINDINGS", "Finder", "Finding", "Moment", "record"]

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


def record(history: deque[Finding], finding: Finding, *, merge: bool) -> None:
    """Append a finding; with `merge` it becomes one with the last when that is by the same finder and as good."""
    last = history[-1] if history else None
    if merge and last is not None and last.by is finding.by and last.good == finding.good:
        history[-1] = msgspec.structs.replace(finding, first_ms=last.first_ms, times=last.times + 1)
    else:
        history.append(finding)
