"""A bundle as a file: made, and read again.

Both accept events that do not hold, because those are evidence too.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import msgspec

from audit_stream.chain import Head, Verdict
from audit_stream.display import counted, safe
from audit_stream.errors import AuditStreamError
from audit_stream.event import Event
from audit_stream.numbers import read_float

__all__ = [
    "FORMAT",
    "MAX_BUNDLE_BYTES",
    "MAX_BUNDLE_EVENTS",
    "Bundle",
    "BundleError",
    "BundleOrigin",
    "make",
    "read",
    "read_event",
]

FORMAT = "audit-stream-bundle/1"

MAX_BUNDLE_EVENTS = 10_000
MAX_BUNDLE_BYTES = 32 << 20
"""Of the events, as served: what a ticket can carry, and what is read and checked within a second."""


class BundleError(AuditStreamError):
    """Something that is no bundle, or cannot become one; the sentence says why."""


class BundleOrigin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who wrote a bundle: the log's address or path, the console's version, and when (RFC 3339)."""

    log: str
    console: str
    at: str


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """What a bundle holds. `events` are exactly as served, in ascending order of id; `selected` are ids among them.

    `remembered` are heads that the console had kept from earlier and that lie among the events. `left_out`: the events
    in between were too large for the bundle.
    """

    written: BundleOrigin
    selected: tuple[int, ...]
    head: Head
    events: tuple[bytes, ...]
    verdict: Verdict | None = None
    remembered: tuple[Head, ...] = ()
    left_out: bool = False

    @property
    def runs(self) -> tuple[tuple[int, int], ...]:
        """First and last id of each row of consecutive events."""
        return _runs([read_event(raw).event_id for raw in self.events])

    @property
    def linked(self) -> bool:
        """Whether every event from the first to the known head is here, so that the head fixes them all."""
        runs = self.runs
        return len(runs) == 1 and runs[0][1] == self.head.event_id

    @property
    def statement(self) -> str:
        """In one sentence, whether the events are linked to the head."""
        return _statement(self.runs, self.head, linked=self.linked, left_out=self.left_out)


class _File(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The JSON of a bundle, in the order of its keys."""

    format: str
    statement: str
    written: BundleOrigin
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
_event_decoder = msgspec.json.Decoder(Event, float_hook=read_float)


def make(
    events: Iterable[bytes],
    *,
    selected: Iterable[int],
    head: Head,
    written: BundleOrigin,
    verdict: Verdict | None = None,
    remembered: Iterable[Head] = (),
    left_out: bool = False,
) -> bytes:
    """The bytes of a bundle, one object a line where that helps reading. Events and ids may come in any order.

    Remembered heads that do not lie among the events are dropped. Raises BundleError when a selected event is not
    among them, an event is none, or one comes after the head.
    """
    by_id = {read_event(raw).event_id: raw for raw in events}
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


def _validate(bundle: Bundle) -> None:
    """Raise BundleError for what `check` could not speak of."""
    ids = [read_event(raw).event_id for raw in bundle.events]
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


def read_event(raw: bytes) -> Event:
    """The fields of one event of a bundle. Raises BundleError when it is none."""
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
        f"{why}: the events here form {counted(len(runs), 'separate run')} of linked events "
        f"and are not linked to the known head #{head.event_id}."
    )


def _place(head: Head) -> tuple[int, str]:
    return head.event_id, head.hash


def _words(error: Exception) -> str:
    return safe(str(error)[:200]) or "it cannot be read"
