"""An evidence bundle: selected events with everything that links them to a known head, in one JSON file.

`docs/evidence.md` specifies the format. Pure functions on bytes; no I/O. `make` and `read` accept events that do not
hold, because those are evidence too; `check` says what holds.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import msgspec

from audit_stream.canonical import canonical_event, hash_of
from audit_stream.chain import GENESIS_HASH, Head, Verdict
from audit_stream.display import safe
from audit_stream.errors import AuditStreamError
from audit_stream.event import Event

__all__ = [
    "FORMAT",
    "MAX_BUNDLE_BYTES",
    "MAX_BUNDLE_EVENTS",
    "Bundle",
    "BundleError",
    "Fault",
    "Report",
    "Writer",
    "check",
    "make",
    "read",
]

FORMAT = "audit-stream-bundle/1"

MAX_BUNDLE_EVENTS = 10_000
MAX_BUNDLE_BYTES = 32 << 20
"""Of the events, as served: what a ticket can carry, and what is read and checked within a second."""


class BundleError(AuditStreamError):
    """Something that is no bundle, or cannot become one; the sentence says why."""


class Writer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who wrote a bundle: the log's address or path, the console's version, and when (RFC 3339)."""

    log: str
    console: str
    at: str


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """What a bundle holds. `events` are exactly as served, in ascending order of id; `selected` are ids among them.

    `remembered` are heads that the console had kept from earlier and that lie among the events. `left_out`: the events
    in between were too large for the bundle.
    """

    written: Writer
    selected: tuple[int, ...]
    head: Head
    events: tuple[bytes, ...]
    verdict: Verdict | None = None
    remembered: tuple[Head, ...] = ()
    left_out: bool = False

    @property
    def runs(self) -> tuple[tuple[int, int], ...]:
        """First and last id of each row of consecutive events."""
        return _runs([_event(raw).event_id for raw in self.events])

    @property
    def linked(self) -> bool:
        """Whether every event from the first to the known head is here, so that the head fixes them all."""
        runs = self.runs
        return len(runs) == 1 and runs[0][1] == self.head.event_id

    @property
    def statement(self) -> str:
        """In one sentence, whether the events are linked to the head."""
        return _statement(self.runs, self.head, linked=self.linked, left_out=self.left_out)


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


class _File(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The JSON of a bundle, in the order of its keys."""

    format: str
    statement: str
    written: Writer
    selected: list[int]
    head: Head
    verdict: Verdict | None
    remembered: list[Head]
    left_out: bool
    events: list[str]


class _Format(msgspec.Struct):
    format: str


_MALFORMED = (msgspec.DecodeError, UnicodeError, RecursionError)
_file_decoder = msgspec.json.Decoder(_File)
_format_decoder = msgspec.json.Decoder(_Format)
_event_decoder = msgspec.json.Decoder(Event)


def make(
    events: Iterable[bytes],
    *,
    selected: Iterable[int],
    head: Head,
    written: Writer,
    verdict: Verdict | None = None,
    remembered: Iterable[Head] = (),
    left_out: bool = False,
) -> bytes:
    """The bytes of a bundle, one object a line where that helps reading. Events and ids may come in any order.

    Remembered heads that do not lie among the events are dropped. Raises BundleError when a selected event is not
    among them, an event is none, or one comes after the head.
    """
    by_id = {_event(raw).event_id: raw for raw in events}
    bundle = Bundle(
        written=written,
        selected=tuple(sorted(set(selected))),
        head=head,
        events=tuple(by_id[event_id] for event_id in sorted(by_id)),
        verdict=verdict,
        remembered=tuple(sorted({each for each in remembered if each.event_id in by_id}, key=_place)),
        left_out=left_out,
    )
    _validate(bundle)
    file = _File(
        format=FORMAT,
        statement=bundle.statement,
        written=written,
        selected=list(bundle.selected),
        head=head,
        verdict=verdict,
        remembered=list(bundle.remembered),
        left_out=left_out,
        events=[raw.decode("ascii") for raw in bundle.events],
    )
    return msgspec.json.format(msgspec.json.encode(file), indent=1) + b"\n"


def read(content: bytes) -> Bundle:
    """The bundle that these bytes are. Raises BundleError, and nothing else, when they are none."""
    try:
        found = _format_decoder.decode(content).format
    except _MALFORMED as error:
        raise BundleError(f"this is no evidence bundle: {_words(error)}") from None
    if found != FORMAT:
        raise BundleError(f"this is no evidence bundle of a known format: {FORMAT} is, {safe(found[:80])!r} is not")
    try:
        file = _file_decoder.decode(content)
        events = tuple(raw.encode("ascii") for raw in file.events)
    except _MALFORMED as error:
        raise BundleError(f"the bundle is damaged: {_words(error)}") from None
    bundle = Bundle(
        written=file.written,
        selected=tuple(file.selected),
        head=file.head,
        events=events,
        verdict=file.verdict,
        remembered=tuple(file.remembered),
        left_out=file.left_out,
    )
    _validate(bundle)
    if file.statement != bundle.statement:
        raise BundleError("the bundle is damaged: its statement is not what its events amount to")
    return bundle


def check(bundle: Bundle) -> Report:
    """Recompute every hash and link, and compare with the heads."""
    events = [_event(raw) for raw in bundle.events]
    faults = [
        *_hash_faults(bundle.events, events),
        *_link_faults(events),
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


def _hash_faults(raws: Iterable[bytes], events: Iterable[Event]) -> Iterable[Fault]:
    for raw, event in zip(raws, events, strict=True):
        try:
            fits = hash_of(canonical_event(raw)) == event.hash
        except ValueError:
            fits = False
        if not fits:
            yield Fault(event.event_id, f"hash mismatch at event #{event.event_id}")


def _link_faults(events: list[Event]) -> Iterable[Fault]:
    if events[0].event_id == 1 and events[0].prev_hash != GENESIS_HASH:
        yield Fault(1, "prev_hash mismatch at event #1")
    for before, event in pairwise(events):
        if event.event_id == before.event_id + 1 and event.prev_hash != before.hash:
            yield Fault(event.event_id, f"prev_hash mismatch at event #{event.event_id}")


def _head_faults(events: Iterable[Event], head: Head, what: str) -> Iterable[Fault]:
    for event in events:
        if event.event_id == head.event_id and event.hash != head.hash:
            yield Fault(
                head.event_id,
                f"the {what} head #{head.event_id} was {safe(head.hash)}, the event here has {event.hash}",
            )


def _proven(bundle: Bundle) -> Iterable[str]:
    runs = bundle.runs
    yield f"{_count(len(bundle.events), 'event')}: each hash is the SHA-256 of the event's bytes."
    if runs[0][0] == 1:
        yield "Event #1 is the first of its chain."
    for first, last in runs:
        if last > first:
            yield f"Events #{first} to #{last} follow one another, none missing, none changed since they were linked."
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
        yield "The daemon had given no verdict."
    elif verdict.valid:
        yield f"The daemon's last verdict: valid, {_count(verdict.checked, 'event')} checked{_when(verdict)}."
    else:
        reason = safe(verdict.reason or "no reason given")
        yield f"The daemon's last verdict: broken at #{verdict.first_break_at}, {reason}{_when(verdict)}."


def _not_proven(bundle: Bundle, *, reaches_head: bool) -> Iterable[str]:
    first, last = bundle.runs[0][0], bundle.head.event_id
    if not bundle.linked:
        yield bundle.statement
    elif not reaches_head:
        yield f"The events do not lead to the known head #{last} unbroken."
    yield f"That #{last} {safe(bundle.head.hash)} was the head of the log: compare it with one that you know."
    if first > 1:
        yield f"Anything about the events before #{first}."
    yield f"Anything about events after #{last}."
    yield "Who wrote the bundle and when, and the daemon's verdict: these are claimed."


def _validate(bundle: Bundle) -> None:
    """Raise BundleError for what `check` could not speak of."""
    ids = [_event(raw).event_id for raw in bundle.events]
    if not ids or not bundle.selected:
        raise BundleError("the bundle holds no event")
    if ids[0] < 1 or any(before >= after for before, after in pairwise(ids)):
        raise BundleError("the bundle is damaged: its events are not in ascending order from #1 on")
    if any(before >= after for before, after in pairwise(bundle.selected)):
        raise BundleError("the bundle is damaged: the selected ids are not in ascending order")
    known = set(ids)
    missing = [event_id for event_id in bundle.selected if event_id not in known]
    if missing:
        raise BundleError(f"the selected event #{missing[0]} is not among the bundle's events")
    stray = [head.event_id for head in bundle.remembered if head.event_id not in known]
    if stray:
        raise BundleError(f"the event of the remembered head #{stray[0]} is not among the bundle's events")
    if ids[-1] > bundle.head.event_id:
        raise BundleError(f"event #{ids[-1]} comes after the known head #{bundle.head.event_id}")


def _event(raw: bytes) -> Event:
    try:
        event = _event_decoder.decode(raw)
    except _MALFORMED as error:
        raise BundleError(f"the bundle is damaged: one of its events is none: {_words(error)}") from None
    if not raw.isascii():
        raise BundleError(f"the bundle is damaged: event #{event.event_id} is not in ASCII")
    return event


def _runs(ids: list[int]) -> tuple[tuple[int, int], ...]:
    starts = [event_id for before, event_id in zip([None, *ids], ids, strict=False) if before != event_id - 1]
    ends = [event_id for event_id, after in zip(ids, [*ids[1:], None], strict=True) if after != event_id + 1]
    return tuple(zip(starts, ends, strict=True))


def _statement(runs: tuple[tuple[int, int], ...], head: Head, *, linked: bool, left_out: bool) -> str:
    if linked:
        return f"The events #{runs[0][0]} to #{head.event_id}, the known head, are here without a gap."
    why = (
        f"What lies between is more than {MAX_BUNDLE_EVENTS:,} events or {MAX_BUNDLE_BYTES >> 20} MiB and was left out"
        if left_out
        else "The log did not hold all that lies between"
    )
    return (
        f"{why}: the events here form {_count(len(runs), 'separate run')} of linked events "
        f"and are not linked to the known head #{head.event_id}."
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _when(verdict: Verdict) -> str:
    return f", at {safe(verdict.verified_at)}" if verdict.verified_at else ""


def _place(head: Head) -> tuple[int, str]:
    return head.event_id, head.hash


def _words(error: Exception) -> str:
    return safe(str(error)[:200]) or "it cannot be read"
