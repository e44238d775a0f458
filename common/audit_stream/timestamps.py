"""RFC 3339 instants: reading what producers send, writing what the daemon stamps."""

from __future__ import annotations

import functools
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec

from audit_stream.errors import TimestampError

__all__ = ["Instant", "format_rfc3339_ms", "parse_rfc3339_ms", "time_ms_or_none"]

Instant = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]
"""A field with such a text; the schema says so, decoding takes any."""

# RFC 3339 section 5.6, with the lower-case "t" and "z" that its note allows; the space instead of "T" is not.
_RFC3339 = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt](\d{2}:\d{2}):(\d{2})(?:\.(\d{1,9})\d{0,21})?([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def parse_rfc3339_ms(text: str) -> int:
    """Milliseconds since 1970-01-01T00:00:00Z of an RFC 3339 instant, rounded down; negative before 1970.

    A leap second (`:60`, RFC 3339 section 5.7) counts as the first moment of the next minute.
    Raises TimestampError for anything else: no offset, no such day, another ISO 8601 form.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise TimestampError("use an RFC 3339 instant with an offset, such as 2026-05-15T03:14:15.000+00:00")
    date, hours_minutes, seconds, fraction, offset = match.groups()
    leap = seconds == "60"
    try:
        moment = datetime.fromisoformat(
            f"{date}T{hours_minutes}:{'59' if leap else seconds}{'+00:00' if offset in 'Zz' else offset}"
        )
        since_epoch = moment - _EPOCH
    except (ValueError, OverflowError) as error:
        raise TimestampError("there is no such date or time of day") from error
    fraction_ms = int(fraction[:3].ljust(3, "0")) if fraction else 0
    return since_epoch // _MS + fraction_ms + (1000 if leap else 0)


def time_ms_or_none(text: str) -> int | None:
    """What `parse_rfc3339_ms` gives, or None for a text that is no instant, as imported events may have.

    The store's time column, the filters and verification have to agree on it.
    """
    try:
        return parse_rfc3339_ms(text)
    except TimestampError:
        return None


def format_rfc3339_ms(time_ms: int) -> str:
    """The instant in UTC with milliseconds and the offset `+00:00`, as audit-stream 0.1.0 writes it."""
    second, milliseconds = divmod(time_ms, 1000)
    return f"{_format_second(second)}.{milliseconds:03d}+00:00"


@functools.lru_cache(maxsize=8)  # a busy daemon stamps thousands of events in one second
def _format_second(second: int) -> str:
    return (_EPOCH + timedelta(seconds=second)).replace(tzinfo=None).isoformat()
