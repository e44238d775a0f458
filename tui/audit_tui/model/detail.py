"""What the console writes about an event: filters, a curl line, its times."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from audit_tui.log import is_address
from audit_tui.model.rows import Row

__all__ = ["curl_line", "field_filter", "local_time", "same_source_filter", "utc_time"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_MAX_TERM = 2_000
"""Characters of a term: half of what a filter may have, so that others fit beside it."""


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
