"""Where to go: an event id, a time, the start or the live end, from what people type."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta

import msgspec

from audit_stream.errors import AuditStreamError

__all__ = ["GoTo", "PlaceError", "parse_place"]

_MAX_DIGITS = 18
"""Of an event id, as in the filter language."""

_ID = re.compile(rf"#?\s*([0-9]{{1,{_MAX_DIGITS}}}|[0-9]{{1,3}}(?:,[0-9]{{3}}){{1,5}})", re.ASCII)
_BACK = re.compile(r"-\s*([0-9]{1,9})\s*([smhd])", re.ASCII)
_CLOCK = re.compile(r"(?:(today|yesterday)\s+)?([0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?)", re.ASCII)
_DATE = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ]([0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?)\s?([Zz]|[+-][0-9]{2}:[0-9]{2})?)?",
    re.ASCII,
)
_UNITS = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_DAY = timedelta(days=1)


class PlaceError(AuditStreamError, ValueError):
    """A text that names no place; the message says what to write."""


class GoTo(msgspec.Struct, frozen=True):
    """A place in the log: an event, or the first one at or after a time (Unix milliseconds). Neither: the live end."""

    event_id: int | None = None
    at_ms: int | None = None

    @property
    def is_end(self) -> bool:
        """Whether it is the live end."""
        return self.event_id is None and self.at_ms is None


def parse_place(text: str, *, now_ms: int, utc: bool = False) -> GoTo:
    """The place that a text names; times without an offset are local, or UTC.

    `42`, `#42`, `1,234`; `12:01`, `12:01:03` (the last time that a clock showed it); `yesterday 12:00`, `yesterday`;
    `2026-05-15`, `2026-05-15T12:01`, with an offset or without; `-15m` (s, m, h, d); `start`, `end`. Raises PlaceError.
    """
    typed = text.strip().lower()
    if typed in ("end", "start"):
        return GoTo() if typed == "end" else GoTo(event_id=1)
    if (match := _ID.fullmatch(typed)) is not None:
        return _event(int(match.group(1).replace(",", "")))
    if not typed:
        raise PlaceError("write an event id, a time such as 12:01 or -15m, start, or end")
    try:
        moment = _moment(typed, _EPOCH + now_ms * _MS, _as_utc if utc else datetime.astimezone)
        return GoTo(at_ms=(moment - _EPOCH) // _MS)
    except (OverflowError, OSError):  # OSError: what the C library says of years that it cannot place
        raise PlaceError("that is too long ago, or too far ahead") from None


def _event(event_id: int) -> GoTo:
    if event_id == 0:
        raise PlaceError("event ids start at 1")
    return GoTo(event_id=event_id)


def _moment(typed: str, now: datetime, placed: Callable[[datetime], datetime]) -> datetime:
    """The instant; `placed` gives a date and time of day without an offset theirs."""
    if (match := _BACK.fullmatch(typed)) is not None:
        return now - int(match.group(1)) * _UNITS[match.group(2)]
    today = placed(now).date()
    if typed in ("today", "yesterday"):
        return placed(datetime.combine(today - (_DAY if typed == "yesterday" else timedelta()), time()))
    if (match := _CLOCK.fullmatch(typed)) is not None:
        day, clock = match.group(1), _time_of_day(match.group(2))
        moment = placed(datetime.combine(today, clock))
        passed = day == "today" or (day is None and moment <= now)
        return moment if passed else placed(datetime.combine(today - _DAY, clock))
    if (match := _DATE.fullmatch(typed)) is not None:
        return _on_date(*match.groups(), placed=placed)
    raise PlaceError(
        "write an event id such as 42, a time such as 12:01, 2026-05-15T12:01 or yesterday 12:00, "
        "a span back such as -15m (s, m, h, d), start, or end"
    )


def _on_date(date: str, clock: str | None, offset: str | None, *, placed: Callable[[datetime], datetime]) -> datetime:
    try:
        day = datetime.fromisoformat(date)
        moment = datetime.combine(day, time() if clock is None else _time_of_day(clock))
        if offset is None:
            return placed(moment)
        return datetime.fromisoformat(moment.isoformat() + ("+00:00" if offset in "zZ" else offset))
    except PlaceError:
        raise
    except ValueError:
        raise PlaceError("there is no such date, or no such offset") from None


def _time_of_day(clock: str) -> time:
    hours, rest = clock.replace(",", ".").split(":", 1)
    try:
        return time.fromisoformat(f"{hours.zfill(2)}:{rest}")
    except ValueError:
        raise PlaceError("there is no such time of day: hours go to 23, minutes and seconds to 59") from None


def _as_utc(moment: datetime) -> datetime:
    """A date and time of day without an offset as UTC; an instant in UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
