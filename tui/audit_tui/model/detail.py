"""What the console recomputes of one event, and what it writes about it: filters, a curl line, its times."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from audit_stream.canonical import canonical_bytes, hash_of
from audit_stream.chain import GENESIS_HASH
from audit_stream.kinds import Severity
from audit_stream.numbers import read_float
from audit_stream.timestamps import time_ms_or_none
from audit_tui.log import is_address
from audit_tui.model.rows import Row

__all__ = ["Inspection", "curl_line", "field_filter", "inspect", "local_time", "same_source_filter", "utc_time"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_MAX_TERM = 2_000
"""Characters of a term: half of what a filter may have, so that others fit beside it."""


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """One event as served, beside what this console makes of its bytes.

    `hash_computed` and `canonical` are None when the bytes are not in the form that was hashed; `not_canonical` then
    says why. It also says so (with both set) when encoding the fields anew gives other bytes: whoever wrote these did
    not use the canonical form. `expected_prev` is the hash of the event before, None while that is not known.
    `time_ms` is None for an imported timestamp that is no instant.
    """

    event_id: int
    severity: Severity
    timestamp: str
    time_ms: int | None
    served_bytes: int
    canonical: bytes | None
    not_canonical: str
    hash_served: str
    hash_computed: str | None
    prev_hash: str
    expected_prev: str | None

    @property
    def hash_fits(self) -> bool:
        """Whether the hash served is that of the bytes served."""
        return self.hash_computed == self.hash_served

    @property
    def link_holds(self) -> bool | None:
        """Whether prev_hash is the hash of the event before; None while that is not known."""
        return None if self.expected_prev is None else self.prev_hash == self.expected_prev

    @property
    def words(self) -> str:
        """The verdict with its mark: what holds, what does not, and what is not known."""
        if not self.hash_fits:
            return "✗ BROKEN: the hash does not fit the bytes"
        if self.link_holds is None:
            return "~ hash fits, link not checked"
        return "✓ linked" if self.link_holds else "✗ BROKEN: prev_hash is not the hash of the event before"


def inspect(row: Row, before: Row | None) -> Inspection:
    """Recompute the event's hash and compare its link; `before` tells only when its id is the one right before."""
    event = row.event
    canonical, reason = _canonical(row)
    if row.event_id == 1:
        expected: str | None = GENESIS_HASH
    else:
        expected = before.hash if before is not None and before.event_id == row.event_id - 1 else None
    return Inspection(
        event_id=row.event_id,
        severity=row.severity,
        timestamp=event.timestamp,
        time_ms=time_ms_or_none(event.timestamp),
        served_bytes=len(row.raw),
        canonical=canonical,
        not_canonical=reason,
        hash_served=event.hash,
        hash_computed=None if canonical is None else hash_of(canonical),
        prev_hash=event.prev_hash,
        expected_prev=expected,
    )


_content = msgspec.json.Decoder(float_hook=read_float)


def _canonical(row: Row) -> tuple[bytes | None, str]:
    try:
        canonical = row.canonical
    except ValueError as error:
        return None, str(error)
    try:
        anew = canonical_bytes(_content.decode(row.raw))
    except (ValueError, RecursionError) as error:
        return canonical, f"its fields cannot be encoded anew: {error}"
    return canonical, "" if anew == canonical else "encoding its fields anew gives other bytes"


def utc_time(time_ms: int) -> str:
    """`2026-05-15 12:01:03.250 UTC`."""
    try:
        moment = _EPOCH + timedelta(milliseconds=time_ms)
    except OverflowError:  # an offset, or a leap second, leads out of the years 1 to 9999
        return "outside the calendar"
    return f"{moment.replace(tzinfo=None).isoformat(' ', 'milliseconds')} UTC"


def local_time(time_ms: int) -> str:
    """The same in the machine's time zone, as `2026-05-15 14:01:03.250 +02:00`; in UTC at the calendar's two ends."""
    try:
        moment = (_EPOCH + timedelta(milliseconds=time_ms)).astimezone()
    except (OverflowError, OSError, ValueError):
        return utc_time(time_ms)
    text = moment.isoformat(" ", "milliseconds")
    return f"{text[:23]} {text[23:]}"


def curl_line(url: str, event_id: int) -> str:
    """A shell command that fetches the event, quoted; "" when `url` is no address but a file's path."""
    if not is_address(url):
        return ""
    return f"curl -fsS {shlex.quote(f'{url}/events/{event_id}')}"


def same_source_filter(row: Row) -> str:
    """The term for events of the same source."""
    from audit_stream.filters.literals import pattern_text

    return f"source:{pattern_text((row.source,))}"


def field_filter(path: Sequence[str | int], value: object) -> str | None:
    """The term that matches what stands at the path of a payload: that value, or for objects and arrays anything.

    Positions in arrays are left out, since a filter means any element. A long string is matched by its beginning.
    None for the whole payload, and for a path too long to write: no term can say these.
    """
    from audit_stream.filters.literals import segment_text

    keys = [key for key in path if isinstance(key, str)]
    name = ".".join(["payload", *map(segment_text, keys)])
    if not keys or len(name) > _MAX_TERM:
        return None
    return f"{name}:{_value_text(value)}"


def _value_text(value: object) -> str:
    from audit_stream.filters.literals import constant_text, string_text

    match value:
        case str():
            text = string_text((value,))
            # Every character may take two, escaped.
            return text if len(text) <= _MAX_TERM else string_text((value[: _MAX_TERM // 2], ""))
        case None | bool():
            return constant_text(value)
        case int() | float() if len(repr(value)) <= _MAX_TERM:
            return repr(value)
        case _:
            return "*"
