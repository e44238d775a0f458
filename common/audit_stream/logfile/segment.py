"""Checking a range of the log against its bytes.

For every event, in the order in which the first failure is reported: its place (`event_id`), its link (`prev_hash`
in the bytes), its hash, that each derived column says what the hashed bytes say and the index lists it, that the bytes
are in canonical form, and that it is found by its id. The loop has one path for events that hold and compares bytes
instead of decoding them, and their payloads are decoded many at a time; an event that it does not know is taken apart.
"""

from __future__ import annotations

import hashlib
import sqlite3
from binascii import hexlify
from collections import defaultdict
from collections.abc import Iterator
from json.encoder import encode_basestring_ascii

import msgspec

from audit_stream.canonical import hash_of
from audit_stream.chain import GENESIS_HASH
from audit_stream.event_check import EventCheck, hash_mismatch
from audit_stream.logfile.canonical_form import encoded, event_fields, first_not_canonical
from audit_stream.logfile.spans import SPAN_EVENTS
from audit_stream.timestamps import time_ms_or_none

__all__ = ["Break", "SegmentState", "check_segment", "state_before"]

SLICE_EVENTS = 8 * SPAN_EVENTS
"""Events in one read transaction: short, so that checkpoints of a busy daemon are never held up by a verification."""

_INT64_MIN = -(2**63)

_UNLISTED = (
    "SELECT event_id FROM events e NOT INDEXED WHERE event_id BETWEEN ? AND ? AND NOT EXISTS"
    " (SELECT 1 FROM events i INDEXED BY events_series WHERE i.series_id = e.series_id AND i.event_id = e.event_id)"
)
"""Events that the index of series does not list where their row says."""

_LISTED = (
    "SELECT series_id, json_group_array(event_id) FROM events INDEXED BY events_series"
    " WHERE series_id IN (SELECT value FROM json_each(?)) AND event_id BETWEEN ? AND ? GROUP BY series_id"
)

_NOT_FOUND = (
    "SELECT min(o.event_id) FROM (SELECT event_id FROM events WHERE event_id BETWEEN ? AND ? ORDER BY event_id DESC"
    " LIMIT -1) o WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.event_id = o.event_id)"
)
"""Events that are there one after the other but cannot be found by their id, as an inner page of the table's tree says
that they are elsewhere: pages and `/events/{id}` would miss them. From the last to the first, because SQLite does not
look from the root for a row that is next to the one before; the LIMIT keeps it from leaving the order out."""

_PAYLOADS = 64
"""Whose form is proven at a time: enough to share the cost of the calls, few enough for the processor's cache."""

_MAX_FORMS_BYTES = 1 << 20
"""Of payloads that are remembered: what a processor's cache holds."""


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
    """The state that verification from the start would have before `event_id`, if all holds; known for the first."""
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
        hash=row[0].decode("ascii", "replace") if row is not None and isinstance(row[0], bytearray) else "",
        series_seqs={series_id: seq for series_id, seq in seqs if seq is not None},
    )


def check_segment(connection: sqlite3.Connection, state: SegmentState, last_id: int) -> Iterator[Break | int]:
    """Check the events after `state` up to `last_id`; yields the number checked after each slice, or the break.

    `state` moves along. Nothing is yielded after a break. A segment starts on a span's first event. The connection's
    text_factory must be bytearray: so a text is told from a blob.
    """
    series = {
        series_id: _SeriesBytes(kind.decode(), source.decode())
        for series_id, kind, source in connection.execute("SELECT series_id, kind, source FROM series NOT INDEXED")
        if _is_utf8(kind) and _is_utf8(source)
    }
    check = _Checker(series, state, indexed=_has_index(connection))
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
            broken = check.rows(rows)
            broken = check.index(connection) or broken
            broken = broken or check.missing(connection, upto) or check.found(connection, before)
            broken = broken or check.spans(connection, before)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise  # locked, or the disk cannot be read: no verdict
            next_id = state.event_id + 1
            broken = check.form() or Break(event_id=next_id, reason=f"event #{next_id} cannot be read: {error}")
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


def _is_utf8(value: object) -> bool:
    try:
        return isinstance(value, bytearray) and bool(value.decode() or True)
    except UnicodeDecodeError:
        return False


def _has_index(connection: sqlite3.Connection) -> bool:
    """Whether there is an index to be held to the events; `verification.py` reports that it is gone or another."""
    try:
        connection.execute(f"{_UNLISTED} LIMIT 0", (0, 0))
    except sqlite3.OperationalError as error:
        if "index" not in str(error) and "no query solution" not in str(error):
            raise
        return False
    return True


def _quoted(text: str) -> bytes:
    return encode_basestring_ascii(text).encode("ascii")


class _Checker:
    """Checks rows against the state, which it moves along."""

    def __init__(self, series: dict[int, _SeriesBytes], state: SegmentState, *, indexed: bool) -> None:
        self._series = series
        self._indexed = indexed
        self._ids: defaultdict[int, list[int]] = defaultdict(list)  # by series, of the last events up to `state`
        self._forms: dict[bytes, int] = {}  # payloads, by the event that had each first
        self._forms_bytes = 0
        self._unproven: list[bytes] = []  # of them, those of which nothing is known yet
        self._state = state
        self._times = _Times()
        self._bounds: list[tuple[int | None, int | None]] = []
        self._low: int | None = None
        self._high: int | None = None

    def rows(self, rows: sqlite3.Cursor) -> Break | None:
        """Check each row; the first that does not hold is returned with its reason."""
        state, series, seqs = self._state, self._series, self._state.series_seqs
        sha256, times, ids = hashlib.sha256, self._times, self._ids
        forms, unproven = self._forms, self._unproven
        expected, prev_hash = state.event_id + 1, state.hash.encode("ascii")
        low, high = self._low, self._high
        try:
            for row in rows:
                event_id, series_id, series_seq, time_ms, hash_, canonical = row
                begin, link_at = b"", 0
                try:
                    bytes_of = series[series_id]
                    link_bytes = b',"prev_hash":"%b%b' % (prev_hash, bytes_of.after_prev_hash)
                    link_at = canonical.rfind(link_bytes)
                    begin = b'{"event_id":%d%b' % (expected, bytes_of.after_id)
                    holds = (
                        event_id == expected
                        and link_at >= len(begin)
                        and canonical.startswith(begin)
                        and canonical.endswith(b'"}')
                        and hexlify(sha256(canonical).digest()) == hash_
                        and type(hash_) is bytearray
                        and series_seq == seqs.get(series_id, 0) + 1
                        and time_ms == times[canonical[link_at + len(link_bytes) : -2]]
                    )
                except (KeyError, TypeError, AttributeError, ValueError):
                    holds = False
                if not holds:
                    broken = _examine(row, expected, prev_hash.decode("ascii"), series, seqs)
                    if broken is not None:
                        return self.form() or broken
                else:
                    payload = canonical[len(begin) - 1 : link_at]
                    if payload not in forms:  # many are alike
                        forms[payload] = expected
                        unproven.append(payload)
                seqs[series_id] = series_seq
                ids[series_id].append(expected)
                prev_hash = hash_
                if time_ms is not None:
                    low = time_ms if low is None or time_ms < low else low
                    high = time_ms if high is None or time_ms > high else high
                if expected % SPAN_EVENTS == 0:
                    self._bounds.append((low, high))
                    low = high = None
                if len(unproven) == _PAYLOADS and (broken := self.form()) is not None:
                    return broken
                expected += 1
        finally:  # also when a row cannot be read: it is the one after `state`
            state.event_id, state.hash = expected - 1, prev_hash.decode("ascii")
        self._low, self._high = low, high
        return self.form()

    def form(self) -> Break | None:
        """The first event so far whose bytes are not in canonical form."""
        payloads = self._unproven
        at = first_not_canonical(payloads)
        if at is not None:
            return _no_canonical_form(self._forms[payloads[at]])
        self._forms_bytes += sum(map(len, payloads))
        payloads.clear()
        if self._forms_bytes > _MAX_FORMS_BYTES:
            self._forms.clear()
            self._forms_bytes = 0
        return None

    def index(self, connection: sqlite3.Connection) -> Break | None:
        """The first event since the last call that the index of series does not list where its row says."""
        expected = {series_id: msgspec.json.encode(ids) for series_id, ids in self._ids.items()}
        first_id = min((ids[0] for ids in self._ids.values()), default=1)
        self._ids.clear()
        if not self._indexed or not expected:
            return None
        bounds = (first_id, self._state.event_id)
        listed = dict(connection.execute(_LISTED, (msgspec.json.encode(list(expected)).decode(), *bounds)))
        if listed == expected:
            return None
        unlisted = connection.execute(f"{_UNLISTED} LIMIT 1", bounds).fetchone()
        if unlisted is None:  # it lists more: that shows in the number of its entries
            return None
        return Break(event_id=unlisted[0], reason=f"kind and source index mismatch at event #{unlisted[0]}")

    def missing(self, connection: sqlite3.Connection, upto: int) -> Break | None:
        """The break when a slice ended before its last id."""
        if self._state.event_id == upto:
            return None
        expected = self._state.event_id + 1
        (found,) = connection.execute("SELECT min(event_id) FROM events WHERE event_id > ?", (upto,)).fetchone()
        reason = f"event_id should be {expected}, got {'none' if found is None else found}"
        return Break(event_id=expected, reason=reason)

    def found(self, connection: sqlite3.Connection, after_id: int) -> Break | None:
        """The first event of a slice that is not found by its id."""
        (event_id,) = connection.execute(_NOT_FOUND, (after_id + 1, self._state.event_id)).fetchone()
        return (
            None if event_id is None else Break(event_id=event_id, reason=f"event #{event_id} is not found by its id")
        )

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
        if b'"' in text or b"\\" in text or not (text.isascii() and text.decode().isprintable()):
            raise ValueError  # it may be escaped, or no timestamp but more: a payload that imitates the end of an event
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
    """Take an event apart: the three reasons of 0.1.0 first, then the column that disagrees with the bytes.

    None when it holds after all: an imported event can have a form that the fast path does not know.
    """
    event_id, series_id, series_seq, time_ms, hash_, canonical = row
    if event_id > expected or (event_id != expected and expected == 1):
        return Break(event_id=expected, reason=f"event_id should be {expected}, got {event_id}")
    if event_id != expected or not isinstance(canonical, bytes) or not isinstance(hash_, bytearray):
        return Break(event_id=expected, reason=hash_mismatch(expected))
    carried, computed = hash_.decode("ascii", "backslashreplace"), hash_of(canonical)
    fields = event_fields(canonical)
    if fields is None:
        no_event = f"the hashed bytes are no event at event #{expected}"
        return Break(event_id=expected, reason=no_event if carried == computed else hash_mismatch(expected))
    found = EventCheck(expected, canonical, computed, carried, prev_hash, fields["prev_hash"])
    if not found.holds:
        return Break(event_id=expected, reason=found.reasons[0])
    known = series.get(series_id) if isinstance(series_id, int) else None
    checks = (
        (fields["event_id"] == expected, f"event_id should be {expected}, got {fields['event_id']}"),
        (known is not None and known.kind == fields["kind"], f"kind column mismatch at event #{expected}"),
        (known is not None and known.source == fields["source"], f"source column mismatch at event #{expected}"),
        (
            isinstance(series_id, int) and series_seq == seqs.get(series_id, 0) + 1,
            f"series_seq column mismatch at event #{expected}",
        ),
        (time_ms == time_ms_or_none(fields["timestamp"]), f"time_ms column mismatch at event #{expected}"),
    )
    for holds, why in checks:
        if not holds:
            return Break(event_id=expected, reason=why)
    return None if encoded(fields).encode("ascii") == canonical else _no_canonical_form(expected)


def _no_canonical_form(event_id: int) -> Break:
    return Break(event_id=event_id, reason=f"the hashed bytes are not in canonical form at event #{event_id}")
