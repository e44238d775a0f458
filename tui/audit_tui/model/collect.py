"""Evidence from a log: selected events and the links from them to a known head, as a bundle."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import aclosing

from audit_stream import __version__
from audit_stream.bundle import MAX_BUNDLE_BYTES, MAX_BUNDLE_EVENTS, BundleError, BundleOrigin, make
from audit_stream.chain import Head, Verdict
from audit_stream.errors import ClientError
from audit_stream.event import system_clock_ms
from audit_stream.timestamps import format_rfc3339_ms
from audit_tui.log import Log
from audit_tui.model.cuts import Cut
from audit_tui.model.rows import Row, event_id_of

__all__ = ["bundle_of_copies", "collect"]

Progress = Callable[[int, int], None]

_PROGRESS_EVENTS = 100


async def collect(
    log: Log,
    ids: Iterable[int],
    *,
    head: Head | None,
    on_progress: Callable[[int, int], None],
    verdict: Verdict | None = None,
    remembered: Iterable[Head] = (),
) -> bytes:
    """The bundle of these events, linked to `head` if that is not too far away.

    `head` is one that the console trusts; None, or one before the last of the events, stands for the log's own. A
    `head` that is passed over counts as remembered. `verdict` None stands for the log's last one. `on_progress` is
    called with events fetched and in all. Raises ClientError, also when an event is not there or too many are selected.
    """
    selected = sorted(set(ids))
    if not selected:
        raise ClientError("no event is selected")
    if len(selected) >= MAX_BUNDLE_EVENTS:
        raise ClientError(f"{len(selected):,} events are too many for one bundle: select under {MAX_BUNDLE_EVENTS:,}")
    stats = await log.stats()
    known = stats.head if head is None or head.event_id < selected[-1] else head
    events = await _all_between(log, selected[0], known.event_id, on_progress)
    left_out = events is None
    if events is None:
        events = await _chosen(log, selected, known, on_progress)
    missing = [event_id for event_id in selected if event_id not in events]
    if missing:
        raise ClientError(f"the log holds no event #{missing[0]}")
    now = format_rfc3339_ms(system_clock_ms())
    try:
        return make(
            events.values(),
            selected=selected,
            head=known,
            written=BundleOrigin(log=log.url, console=__version__, at=now),
            verdict=verdict or stats.last_verdict,
            remembered=[each for each in (*remembered, head) if each is not None and each != known],
            left_out=left_out,
        )
    except BundleError as error:
        raise ClientError(str(error)) from None


async def _all_between(log: Log, first: int, last: int, on_progress: Progress) -> dict[int, bytes] | None:
    """The events from `first` to `last`, both included; None when they are too many or too large."""
    total = last - first + 1
    return None if total > MAX_BUNDLE_EVENTS else await _span(log, first, last, MAX_BUNDLE_BYTES, on_progress)


async def _chosen(log: Log, selected: list[int], known: Head, on_progress: Progress) -> dict[int, bytes]:
    """The selected events and that of the head, as far as the log holds them."""
    events: dict[int, bytes] = {}
    total = len(selected) + 1
    room = MAX_BUNDLE_BYTES
    for first, last in _spans([*selected, *([known.event_id] if known.event_id > selected[-1] else [])]):
        found = await _span(log, first, last, room, _part(on_progress, len(events), total))
        if found is None:
            raise ClientError(f"the selected events take more than {MAX_BUNDLE_BYTES >> 20} MiB: select fewer")
        events |= found
        room -= sum(map(len, found.values()))
    return events


def _part(on_progress: Progress, before: int, total: int) -> Progress:
    """The progress of one part as that of the whole."""
    return lambda done, _: on_progress(before + done, total)


async def _span(log: Log, first: int, last: int, max_bytes: int, on_progress: Progress) -> dict[int, bytes] | None:
    """The events that the log holds of these ids; None when they take more than so many bytes."""
    events: dict[int, bytes] = {}
    total, size = last - first + 1, 0
    async with aclosing(log.events(since_id=first - 1, limit=total)) as found:
        async for served in found:
            event_id = event_id_of(served)
            if event_id > last:
                break
            size += len(served.raw)
            if size > max_bytes:
                return None
            events[event_id] = served.raw
            if len(events) % _PROGRESS_EVENTS == 0:
                on_progress(len(events), total)
    on_progress(len(events), total)
    return events


def _spans(ids: list[int]) -> list[tuple[int, int]]:
    """Ascending ids as first and last of each row of consecutive ones."""
    spans: list[tuple[int, int]] = []
    for event_id in ids:
        if spans and spans[-1][1] == event_id - 1:
            spans[-1] = (spans[-1][0], event_id)
        else:
            spans.append((event_id, event_id))
    return spans


def bundle_of_copies(cut: Cut, *, log: str, verdict: Verdict | None, remembered: Iterable[Head]) -> bytes:
    """The copies of what a log no longer holds as a bundle, linked to the head that was seen: the newest that fit in.

    Raises BundleError for copies that cannot stand in a bundle, such as one that is not in ASCII.
    """
    rows: list[Row] = []
    size = 0
    for row in reversed(cut.rows):
        size += len(row.raw)
        if len(rows) == MAX_BUNDLE_EVENTS or size > MAX_BUNDLE_BYTES:
            break
        rows.append(row)
    rows.reverse()
    last = Head(rows[-1].event_id, rows[-1].hash)
    return make(
        (row.raw for row in rows),
        selected=[row.event_id for row in rows],
        head=cut.before if cut.before.event_id >= last.event_id else last,
        written=BundleOrigin(log=log, console=__version__, at=format_rfc3339_ms(system_clock_ms())),
        verdict=verdict,
        remembered=remembered,
    )
