"""A daemon in memory: everything that the console reads from one, with switches for what can go wrong."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from typing import Any

import msgspec

from audit_stream.canonical import canonical_event, hash_of, prepare, splice_hash
from audit_stream.chain import GENESIS, Head, Verdict, link
from audit_stream.client import EVERYTHING, Live, Lost, OtherHistory, RawEvent, Selection, Stats, Tailed
from audit_stream.errors import ClientError
from audit_stream.event import Event
from audit_stream.event_check import check_link
from audit_stream.filters import FilterError, matches, parse
from audit_stream.timestamps import format_rfc3339_ms, parse_rfc3339_ms

__all__ = ["START_MS", "FakeLog", "chained", "make_log", "tampered"]

START_MS = 1_780_000_000_000
"""The timestamp of event 1, as Unix milliseconds; each further event is a second later."""

_PAGE_EVENTS = 1_000
_events = msgspec.json.Decoder(Event)
_heads = msgspec.json.Decoder(Head)

_VARIED: list[tuple[str, str, dict[str, Any]]] = [
    ("request_allowed", "policy-as-code-engine", {"bundle_id": "student-data", "decision": "allow"}),
    ("request_denied", "policy-as-code-engine", {"bundle_id": "学生", "decision": "deny", "n": 3}),
    ("decision_card_signed", "procurement-decision-api", {"decision_id": "DEC-001", "signer": "cfo"}),
    ("watch_drifted", "aeo-validator-service", {"drift": 0.25, "path": ["a", {"b": None}]}),
    ("breaker_opened", "reliability-toolkit", {"name": "payments", "failures": 12}),
    ("attestation_tampered", "hash-attestation-rs", {"subject": "s3://x/y", "reason": "mismatch"}),
    ("other", "cron", {}),
]


def chained(drafts: Iterable[tuple[str, str, dict[str, Any]]], *, after: Head = GENESIS) -> Iterator[bytes]:
    """Events as they are served, in a real chain after `after`, from (kind, source, payload)."""
    prepared = []
    for number, (kind, source, payload) in enumerate(drafts, start=after.event_id):
        time_ms = START_MS + 1000 * number
        timestamp = format_rfc3339_ms(time_ms)
        prepared.append(prepare(kind=kind, source=source, payload=payload, timestamp=timestamp, time_ms=time_ms))
    return (splice_hash(linked.canonical, linked.hash) for linked in link(after, prepared))


def tampered(raw: bytes, **changes: Any) -> bytes:
    """The event with these fields changed and its hash left as it was."""
    return json.dumps({**json.loads(raw), **changes}, separators=(",", ":")).encode()


def make_log(count: int, *, url: str = "http://fake.test:8093") -> FakeLog:
    """A log of so many events of varied kinds, sources and payloads; the payload's `i` is the event's id."""
    varied = (_VARIED[i % len(_VARIED)] for i in range(count))
    drafts = ((kind, source, {**payload, "i": i}) for i, (kind, source, payload) in enumerate(varied, start=1))
    return FakeLog(list(chained(drafts)), url=url)


class FakeLog:
    """An `audit_tui.log.Log` over events as they are served, oldest first.

    `raw` may be edited, which is tampering. `verdict`, when set, is what the daemon claims; otherwise the chain is
    walked. `requests` names every question that was put, such as "event 7". `retry_in_s` is what a tail that lost its
    connection says of the next attempt.
    """

    def __init__(self, events: list[bytes], *, url: str = "http://fake.test:8093") -> None:
        self._url = url
        self.raw = list(events)
        self.verdict: Verdict | None = None
        self.last_verdict: Verdict | None = None
        self.requests: list[str] = []
        self.retry_in_s = 0.01
        self.closed = False
        self._error: ClientError | None = None
        self._changed = asyncio.Event()
        self._hold_after: int | None = None

    # switches

    def append(self, kind: str = "other", source: str = "cron", payload: dict[str, Any] | None = None) -> RawEvent:
        """One more event at the end of the chain; open tails get it."""
        (raw,) = chained([(kind, source, payload or {})], after=self.head)
        self.raw.append(raw)
        self._notify()
        return RawEvent(raw)

    def fail_with(self, error: ClientError | None) -> None:
        """From now on every question is answered by this error, and tails end with it; None: no more."""
        self._error = error
        self._notify()

    def go_away(self) -> None:
        """Nobody answers any more: questions raise, open tails yield Lost and wait."""
        self.fail_with(ClientError(f"no daemon answers at {self._url}: start one with `audit-stream`"))

    def come_back(self) -> None:
        """Answer again; tails go on where they were."""
        self.fail_with(None)

    def replace(self, events: list[bytes]) -> None:
        """Another history from now on."""
        self.raw = list(events)
        self._notify()

    def hold_after(self, count: int | None) -> None:
        """`events` gives so many and then waits until this is called with None."""
        self._hold_after = count
        self._notify()

    @property
    def head(self) -> Head:
        """The end of the chain."""
        return _heads.decode(self.raw[-1]) if self.raw else GENESIS

    # Log

    @property
    def url(self) -> str:
        return self._url

    async def stats(self) -> Stats:
        await self._asked("stats")
        events = [_events.decode(raw) for raw in self.raw]
        return Stats(
            count=len(events),
            last_event_id=self.head.event_id or None,
            latest_hash=self.head.hash if events else None,
            by_kind=dict(Counter(event.kind for event in events)),
            by_source=dict(Counter(event.source for event in events)),
            rates_per_second={"1m": 0.0, "5m": 0.0},
            last_verdict=self.last_verdict,
        )

    async def verify(self) -> Verdict:
        await self._asked("verify")
        self.last_verdict = self.verdict or _walk(self.raw)
        return self.last_verdict

    async def event(self, event_id: int, /) -> RawEvent | None:
        await self._asked(f"event {event_id}")
        return self._find(event_id)

    async def events(
        self,
        selection: Selection = EVERYTHING,
        *,
        limit: int | None = None,
        since_id: int | None = None,
        before_id: int | None = None,
        newest_first: bool = False,
    ) -> AsyncGenerator[RawEvent]:
        await self._asked(f"events since={since_id} before={before_id} limit={limit}")
        test = _test(selection)
        found = [
            raw
            for raw in self.raw
            if _between(_heads.decode(raw).event_id, since_id, before_id) and test(_events.decode(raw))
        ]
        if newest_first:
            found.reverse()
        elif since_id is None:
            found = found[-_PAGE_EVENTS if limit is None else len(found) - min(limit, len(found)) :]
        for count, raw in enumerate(found[:limit]):
            while self._hold_after is not None and count >= self._hold_after:
                await self._changed.wait()
            if self._error is not None:
                raise self._error
            if count % 100 == 0:
                await asyncio.sleep(0)
            yield RawEvent(raw)

    async def tail(self, selection: Selection = EVERYTHING, *, since_id: int | None = None) -> AsyncGenerator[Tailed]:
        self.requests.append(f"tail since={since_id}")
        test = _test(selection)
        place = self.head if since_id is None else Head(since_id, "")
        live = False
        while True:
            changed = self._changed
            if self._error is not None:
                if self._error.status is not None:
                    raise self._error
                live = False
                yield Lost(reason=str(self._error), retry_in_s=self.retry_in_s)
                while self._error is not None:
                    await self._changed.wait()
                continue
            if not live:
                place, other = self._confirm(place)
                if other is not None:
                    yield other
                yield Live(after_id=place.event_id)
                live = True
            for raw in [raw for raw in self.raw if _heads.decode(raw).event_id > place.event_id]:
                place = _heads.decode(raw)
                if test(_events.decode(raw)):
                    yield RawEvent(raw)
            if changed is self._changed:
                await changed.wait()

    async def close(self) -> None:
        self.closed = True
        self._notify()

    # inside

    async def _asked(self, what: str) -> None:
        self.requests.append(what)
        await asyncio.sleep(0)
        if self._error is not None:
            raise self._error

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _find(self, event_id: int) -> RawEvent | None:
        if 1 <= event_id <= len(self.raw) and _heads.decode(self.raw[event_id - 1]).event_id == event_id:
            return RawEvent(self.raw[event_id - 1])
        return next((RawEvent(raw) for raw in self.raw if _heads.decode(raw).event_id == event_id), None)

    def _confirm(self, place: Head) -> tuple[Head, OtherHistory | None]:
        if place.event_id == 0:
            return GENESIS, None
        found = self._find(place.event_id)
        if found is None:
            return self.head, OtherHistory(seen=place, head=self.head)
        there = _heads.decode(found.raw)
        same = place.hash in ("", there.hash)
        return there, None if same else OtherHistory(seen=place, head=self.head)


def _between(event_id: int, since_id: int | None, before_id: int | None) -> bool:
    return (since_id is None or event_id > since_id) and (before_id is None or event_id < before_id)


def _test(selection: Selection) -> Callable[[Event], bool]:
    """Whether an event is selected. Raises ClientError for a filter that a daemon refuses."""
    try:
        filter_ = parse(selection.q, now_ms=START_MS)
    except FilterError as error:
        raise ClientError(str(error), status=400) from None
    since_ms = parse_rfc3339_ms(selection.since) if selection.since else None
    until_ms = parse_rfc3339_ms(selection.until) if selection.until else None

    def selected(event: Event) -> bool:
        at_ms = parse_rfc3339_ms(event.timestamp) if since_ms is not None or until_ms is not None else 0
        return (
            (not selection.kinds or event.kind in selection.kinds)
            and (not selection.sources or event.source in selection.sources)
            and (since_ms is None or at_ms >= since_ms)
            and (until_ms is None or at_ms <= until_ms)
            and matches(filter_, event)
        )

    return selected


def _walk(raws: list[bytes]) -> Verdict:
    """The verdict of a daemon that recomputes everything."""
    before = GENESIS
    for raw in raws:
        event = _events.decode(raw)
        reason = check_link(before.event_id + 1, before.hash, event_id=event.event_id, prev_hash=event.prev_hash)
        try:
            fits = hash_of(canonical_event(raw)) == event.hash
        except ValueError:
            fits = False
        if reason is None and not fits:
            reason = f"hash mismatch at event #{event.event_id}"
        if reason is not None:
            return Verdict(
                valid=False,
                checked=before.event_id,
                first_break_at=before.event_id + 1,
                reason=reason,
                head=before,
                duration_ms=1,
                started_at=format_rfc3339_ms(START_MS),
                verified_at=format_rfc3339_ms(START_MS),
            )
        before = Head(event.event_id, event.hash)
    return Verdict(
        valid=True,
        checked=before.event_id,
        first_break_at=None,
        reason=None,
        head=before,
        duration_ms=1,
        started_at=format_rfc3339_ms(START_MS),
        verified_at=format_rfc3339_ms(START_MS),
    )
