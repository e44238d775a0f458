"""Checking a stretch of the log against its bytes.

For every event, in the order in which the first failure is reported: its place (`event_id`), its link (`prev_hash`
in the bytes), its hash, and then that each derived column says what the hashed bytes say. The loop has one path for
events that hold and compares bytes instead of decoding them; an event that it does not know is taken apart.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from binascii import hexlify
from collections.abc import Iterator
from json.encoder import encode_basestring_ascii

import msgspec

from audit_stream.canonical import Envelope, canonical_bytes, hash_of, read_envelope
from audit_stream.chain import GENESIS_HASH
from audit_stream.logfile.spans import SPAN_EVENTS
from audit_stream.timestamps import time_ms_or_none

__all__ = ["Break", "SegmentState", "check_segment", "state_before"]

SLICE_EVENTS = 8 * SPAN_EVENTS
"""Events in one read transaction: short, so that checkpoints of a busy daemon are never held up by a walk."""

_INT64_MIN = -(2**63)


class Break(msgspec.Struct, frozen=True, kw_only=True):
    """The first event that does not hold."""

    event_id: int
    reason: str


class SegmentState(msgspec.Struct, kw_only=True):
    """What the next event must follow: `series_seqs` is the last number of each series so far."""

    event_id: int
    hash: str
    series_seqs: dict[int, int]


def state_before(connection: sqlite3.Connection, event_id: int) -> SegmentState:
    """The state that a walk from the start would have before `event_id`, if all holds; for the first it is known."""
    if event_id == 1:
        return SegmentState(event_id=0, hash=GENESIS_HASH, series_seqs={})
    row = connection.execute("SELECT hash FROM events WHERE event_id = ?", (event_id - 1,)).fetchone()
    seqs = connection.execute(
        "SELECT s.series_id, (SELECT e.series_seq FROM events e WHERE e.event_id ="
        " (SELECT max(l.event_id) FROM events l WHERE l.series_id = s.series_id AND l.event_id < ?)) FROM series s",
        (event_id,),
    ).fetchall()
    return SegmentState(
        event_id=event_id - 1,
        hash=_text(row[0]).encode("ascii", "replace").decode("ascii") if row is not None else "",
        series_seqs={series_id: seq for series_id, seq in seqs if seq is not None},
    )


def check_segment(
    connection: sqlite3.Connection, state: SegmentState, last_id: int, id_sums: dict[int, int]
) -> Iterator[Break | int]:
    """Check the events after `state` up to `last_id`; yields the number checked after each slice, or the break.

    `state` moves along, and `id_sums` gets the sum of the ids of each series' events. Nothing is yielded after a
    break. A segment starts on a span's first event. The connection's text_factory must be bytes.
    """
    series = {
        series_id: _SeriesBytes(_text(kind), _text(source))
        for series_id, kind, source in connection.execute("SELECT series_id, kind, source FROM series")
    }
    check = _Checker(series, state, id_sums)
    while state.event_id < last_id:
        upto = min(state.event_id + SLICE_EVENTS, last_id)
        low = state.event_id + 1 if state.event_id else _INT64_MIN
        before = state.event_id
        try:
            rows = connection.execute(
                "SELECT event_id, series_id, series_seq, time_ms, hash, canonical FROM events"
                " WHERE event_id BETWEEN ? AND ? ORDER BY event_id",
                (low, upto),
            )
            broken = check.rows(rows) or check.missing(connection, upto) or check.spans(connection, before)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise  # locked, or the disk cannot be read: no verdict
            next_id = state.event_id + 1
            broken = Break(event_id=next_id, reason=f"event #{next_id} cannot be read: {error}")
        if broken is not None:
            yield broken
            return
        yield state.event_id - before


class _SeriesBytes:
    """What an event's bytes must hold around its payload if it is of this series."""

    __slots__ = ("after_id", "after_prev_hash", "kind", "source")

    def __init__(self, kind: str, source: str) -> None:
        self.kind = kind
        self.source = source
        self.after_id = b',"kind":%b,"payload":{' % _quoted(kind)
        self.after_prev_hash = b'","source":%b,"timestamp":"' % _quoted(source)


def _text(value: object) -> str:
    """A column's text; what is no UTF-8 becomes something that equals no event's field."""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


def _quoted(text: str) -> bytes:
    return encode_basestring_ascii(text).encode("ascii")


class _Checker:
    """Checks rows against the state, which it moves along."""

    def __init__(self, series: dict[int, _SeriesBytes], state: SegmentState, id_sums: dict[int, int]) -> None:
        self._series = series
        self._id_sums = id_sums
        self._state = state
        self._times = _Times()
        self._bounds: list[tuple[int | None, int | None]] = []
        self._low: int | None = None
        self._high: int | None = None

    def rows(self, rows: sqlite3.Cursor) -> Break | None:
        """Check each row; the first that does not hold is returned with its reason."""
        state, series, seqs, id_sums = self._state, self._series, self._state.series_seqs, self._id_sums
        sha256, times = hashlib.sha256, self._times
        expected, prev_hash = state.event_id + 1, state.hash.encode("ascii")
        low, high = self._low, self._high
        try:
            for row in rows:
                event_id, series_id, series_seq, time_ms, hash_, canonical = row
                try:
                    bytes_of = series[series_id]
                    link_bytes = b',"prev_hash":"%b%b' % (prev_hash, bytes_of.after_prev_hash)
                    link_at = canonical.rfind(link_bytes)
                    holds = (
                        event_id == expected
                        and link_at > 0
                        and canonical.startswith(b'{"event_id":%d%b' % (expected, bytes_of.after_id))
                        and canonical.endswith(b'"}')
                        and hexlify(sha256(canonical).digest()) == hash_
                        and series_seq == seqs.get(series_id, 0) + 1
                        and time_ms == times[canonical[link_at + len(link_bytes) : -2]]
                    )
                except (KeyError, TypeError, AttributeError, ValueError):
                    holds = False
                if not holds:
                    broken = _examine(row, expected, prev_hash.decode("ascii"), series, seqs)
                    if broken is not None:
                        return broken
                seqs[series_id] = series_seq
                id_sums[series_id] = id_sums.get(series_id, 0) + expected
                prev_hash = hash_
                if time_ms is not None:
                    low = time_ms if low is None or time_ms < low else low
                    high = time_ms if high is None or time_ms > high else high
                if expected % SPAN_EVENTS == 0:
                    self._bounds.append((low, high))
                    low = high = None
                expected += 1
        finally:  # also when a row cannot be read: it is the one after `state`
            state.event_id, state.hash = expected - 1, prev_hash.decode("ascii")
        self._low, self._high = low, high
        return None

    def missing(self, connection: sqlite3.Connection, upto: int) -> Break | None:
        """The break when a slice ended before its last id."""
        if self._state.event_id == upto:
            return None
        expected = self._state.event_id + 1
        (found,) = connection.execute("SELECT min(event_id) FROM events WHERE event_id > ?", (upto,)).fetchone()
        reason = f"event_id should be {expected}, got {'none' if found is None else found}"
        return Break(event_id=expected, reason=reason)

    def spans(self, connection: sqlite3.Connection, after_id: int) -> Break | None:
        """Compare the time bounds of the spans that the slice completed with those that are stored."""
        first = after_id // SPAN_EVENTS
        bounds, self._bounds = self._bounds, []
        if not bounds:
            return None
        stored = {
            span: (low, high)
            for span, low, high in connection.execute(
                "SELECT span, min_ms, max_ms FROM spans WHERE span >= ? AND span < ?", (first, first + len(bounds))
            )
        }
        for span, found in enumerate(bounds, first):
            if stored.get(span) != found:
                last_id = (span + 1) * SPAN_EVENTS
                return Break(event_id=last_id, reason=f"time span mismatch at event #{last_id}")
        return None


class _Times(dict[bytes, int | None]):
    """Unix milliseconds by timestamp, as it stands in canonical bytes: None for one that is not RFC 3339.

    Events come in thousands a second and batches share one stamp, so most are looked up, not read.
    """

    def __missing__(self, text: bytes) -> int | None:
        if b'"' in text:  # not a timestamp's text but more: a payload that imitates the end of an event
            raise ValueError
        if len(self) >= 4096:
            self.clear()
        time_ms = self[text] = self._own_form(text) if len(text) == 29 else time_ms_or_none(text.decode("ascii"))
        return time_ms

    def _own_form(self, text: bytes) -> int | None:
        """Read the daemon's own form by its second, which many share."""
        if text[19:20] != b"." or text[23:] != b"+00:00" or not text[20:23].isdigit():
            return time_ms_or_none(text.decode("ascii"))
        second_ms = self[text[:19] + b"+00:00"]
        return None if second_ms is None else second_ms + int(text[20:23])


def _examine(
    row: tuple[int, object, object, object, object, object],
    expected: int,
    prev_hash: str,
    series: dict[int, _SeriesBytes],
    seqs: dict[int, int],
) -> Break | None:
    """Take an event apart: the seed's three reasons first, then the column that disagrees with the bytes.

    None when it holds after all: an imported event can have a form that the fast path does not know.
    """
    event_id, series_id, series_seq, time_ms, hash_, canonical = row
    reason = f"hash mismatch at event #{expected}"
    if event_id != expected:
        if event_id > expected or expected == 1:
            reason = f"event_id should be {expected}, got {event_id}"
        return Break(event_id=expected, reason=reason)
    if not isinstance(canonical, bytes) or not isinstance(hash_, bytes):
        return Break(event_id=expected, reason=reason)
    hash_holds = hash_of(canonical).encode("ascii") == hash_
    try:
        envelope = _read(canonical)
    except (ValueError, KeyError, TypeError, RecursionError):
        if hash_holds:
            reason = f"the hashed bytes are no event at event #{expected}"
        return Break(event_id=expected, reason=reason)
    known = series.get(series_id) if isinstance(series_id, int) else None
    checks = (
        (envelope.prev_hash == prev_hash, f"prev_hash mismatch at event #{expected}"),
        (hash_holds, reason),
        (envelope.event_id == expected, f"event_id should be {expected}, got {envelope.event_id}"),
        (known is not None and known.kind == envelope.kind, f"kind column mismatch at event #{expected}"),
        (known is not None and known.source == envelope.source, f"source column mismatch at event #{expected}"),
        (series_seq == seqs.get(series_id, 0) + 1, f"series_seq column mismatch at event #{expected}"),  # type: ignore[call-overload]  # any object may be looked up
        (time_ms == time_ms_or_none(envelope.timestamp), f"time_ms column mismatch at event #{expected}"),
    )
    for holds, why in checks:
        if not holds:
            return Break(event_id=expected, reason=why)
    if canonical_bytes(json.loads(canonical)) != canonical:
        return Break(event_id=expected, reason=f"the hashed bytes are not in canonical form at event #{expected}")
    return None


def _read(canonical: bytes) -> Envelope:
    """The fields of canonical bytes; also of imported ones with a lone surrogate, which msgspec refuses."""
    try:
        return read_envelope(canonical)
    except msgspec.DecodeError:
        fields = json.loads(canonical)
        return Envelope(
            event_id=fields["event_id"],
            kind=fields["kind"],
            payload=msgspec.Raw(b"{}"),
            prev_hash=fields["prev_hash"],
            source=fields["source"],
            timestamp=fields["timestamp"],
        )
