"""What a bundle proves, and what it does not."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from audit_stream.bundle.file import Bundle, read_event
from audit_stream.chain import Head, Verdict
from audit_stream.display import counted, safe
from audit_stream.event import Event
from audit_stream.event_check import check_served

__all__ = ["Fault", "Report", "check"]


class Fault(msgspec.Struct, frozen=True):
    """What does not hold, at which event; worded as in a verdict where it has such a word."""

    event_id: int
    reason: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What `check` found. The sentences are safe to show.

    `proven` follows from the bytes in the bundle alone; `claimed` is what somebody said; `not_proven` what a reader
    might take for proven.
    """

    faults: tuple[Fault, ...]
    reaches_head: bool
    proven: tuple[str, ...]
    claimed: tuple[str, ...]
    not_proven: tuple[str, ...]

    @property
    def intact(self) -> bool:
        """Whether nothing contradicts the bundle."""
        return not self.faults


def check(bundle: Bundle) -> Report:
    """Recompute every hash and link, and compare with the heads."""
    events = [read_event(raw) for raw in bundle.events]
    faults = [
        *_faults(bundle.events, events),
        *_head_faults(events, bundle.head, "known"),
        *(fault for head in bundle.remembered for fault in _head_faults(events, head, "remembered")),
    ]
    faults.sort(key=lambda fault: fault.event_id)
    reaches_head = bundle.linked and not faults
    return Report(
        faults=tuple(faults),
        reaches_head=reaches_head,
        proven=() if faults else tuple(_proven(bundle)),
        claimed=tuple(_claimed(bundle)),
        not_proven=tuple(_not_proven(bundle, reaches_head=reaches_head)),
    )


def _faults(raws: Iterable[bytes], events: list[Event]) -> Iterable[Fault]:
    for raw, event, before in zip(raws, events, [None, *events[:-1]], strict=True):
        yield from (Fault(event.event_id, reason) for reason in check_served(raw, before, event=event).reasons)


def _head_faults(events: Iterable[Event], head: Head, what: str) -> Iterable[Fault]:
    for event in events:
        if event.event_id == head.event_id and event.hash != head.hash:
            yield Fault(
                head.event_id,
                f"the {what} head #{head.event_id} was {safe(head.hash)}, the event here has {event.hash}",
            )


def _proven(bundle: Bundle) -> Iterable[str]:
    runs = bundle.runs
    yield f"{counted(len(bundle.events), 'event')}: each hash is the SHA-256 of the event's bytes."
    if runs[0][0] == 1:
        yield "Event #1 is the first of its chain."
    for first, last in runs:
        if last > first:
            yield f"Events #{first} to #{last} are linked one to the next: none is missing between them."
    if bundle.linked:
        yield (
            f"All of it leads to the head #{bundle.head.event_id} {bundle.head.hash}: "
            "whoever trusts this head can trust each of these events."
        )
    yield from (
        f"Event #{head.event_id} is the head that the console remembered: {head.hash}." for head in bundle.remembered
    )


def _claimed(bundle: Bundle) -> Iterable[str]:
    written, verdict = bundle.written, bundle.verdict
    yield f"Written by audit-tui {safe(written.console)} from {safe(written.log)} at {safe(written.at)}."
    if verdict is None:
        yield "There was no verdict."
    elif verdict.valid:
        yield f"The last verdict: valid, {counted(verdict.checked, 'event')} checked{_when(verdict)}."
    else:
        reason = safe(verdict.reason or "no reason given")
        yield f"The last verdict: broken at #{verdict.first_break_at}, {reason}{_when(verdict)}."


def _not_proven(bundle: Bundle, *, reaches_head: bool) -> Iterable[str]:
    first, last = bundle.runs[0][0], bundle.head.event_id
    if not bundle.linked:
        yield bundle.statement
    elif not reaches_head:
        yield f"The events do not lead to the known head #{last} unbroken."
    yield (
        f"That #{last} {safe(bundle.head.hash)} was the head of the log, and so that nobody has recomputed the hashes: "
        "compare it with a head that you know."
    )
    if first > 1:
        yield f"Anything about the events before #{first}."
    yield f"Anything about events after #{last}."
    yield "Who wrote the bundle and when, and the verdict: these are claimed."


def _when(verdict: Verdict) -> str:
    return f", at {safe(verdict.verified_at)}" if verdict.verified_at else ""
