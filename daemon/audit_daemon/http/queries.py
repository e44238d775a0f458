"""Query strings: what they may say, here and in the schema, and a clear answer to everything else."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from audit_daemon.http.problems import Problem
from audit_stream.errors import TimestampError
from audit_stream.filters import Filter, FilterError, parse, plan
from audit_stream.filters.parser import MAX_TEXT_LENGTH
from audit_stream.kinds import EXTRA_KINDS_SETTING, KindRegistry
from audit_stream.logfile.query import Criteria, EventQuery
from audit_stream.numbers import MAX_COUNT
from audit_stream.timestamps import parse_rfc3339_ms
from audit_stream.wire import DEFAULT_PAGE_EVENTS, MAX_PAGE_EVENTS

__all__ = [
    "MAX_ID",
    "PAGE_PARAMETERS",
    "STREAM_PARAMETERS",
    "Parameter",
    "QueryReader",
    "event_id_of",
    "last_event_id_of",
    "no_parameters",
]

MAX_ID = MAX_COUNT

_MAX_FIELDS = 200
_DIGITS = re.compile(r"[0-9]{1,19}")

_Fields = Mapping[str, Sequence[str]]


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """A query parameter: what the schema says of it, and how its text is read, which may raise a Problem."""

    name: str
    description: str
    schema: dict[str, Any]
    read: Callable[[str], Any] = str
    repeatable: bool = False

    def of(self, fields: _Fields) -> Any:
        """Its value in a query string, all of them when it is repeatable; None when it is not given."""
        if self.name not in fields:
            return None
        texts = fields[self.name]
        return frozenset(map(self.read, texts)) if self.repeatable else self.read(texts[0])


def _number(name: str, description: str, low: int, high: int, **schema: Any) -> Parameter:
    def read(text: str) -> int:
        if _DIGITS.fullmatch(text) is None or not low <= int(text) <= high:
            raise Problem(400, f"{name} must be in {low}..{high}")
        return int(text)

    bounds = {"type": "integer", "minimum": low, "maximum": high}
    return Parameter(name=name, description=description, schema=bounds | schema, read=read)


def _instant(name: str, description: str) -> Parameter:
    def read(text: str) -> int:
        try:
            # A "+" that was not percent-encoded arrives as a space, which no RFC 3339 instant has.
            return parse_rfc3339_ms(text.replace(" ", "+"))
        except TimestampError as error:
            raise Problem(400, f"{name}: {error}") from None

    schema = {"type": "string", "format": "date-time"}
    return Parameter(name=name, description=description, schema=schema, read=read)


def _read_source(text: str) -> str:
    if not text:
        raise Problem(400, "source: is empty; leave it out to read all sources")
    return text


def _read_order(text: str) -> str:
    if text not in ("asc", "desc"):
        raise Problem(400, "order must be asc or desc")
    return text


_KIND = Parameter(
    name="kind", description="Only these kinds", schema={"$ref": "#/components/schemas/Kind"}, repeatable=True
)
_SOURCE = Parameter(
    name="source",
    description="Only these sources",
    schema={"type": "string", "minLength": 1},
    read=_read_source,
    repeatable=True,
)
_SINCE = _instant("since", "Only events stamped at or after this instant")
_UNTIL = _instant("until", "Only events stamped at or before this instant")
_Q = Parameter(
    name="q",
    description="A filter in the filter language, such as severity:>=warning",
    schema={"type": "string", "maxLength": MAX_TEXT_LENGTH},
)
_SINCE_ID = _number("since_id", "Only events after this one; of a page the first so many", 0, MAX_ID)
_BEFORE_ID = _number("before_id", "Only events before this one", 1, MAX_ID)
_LIMIT = _number("limit", "The most recent so many", 1, MAX_PAGE_EVENTS, default=DEFAULT_PAGE_EVENTS)
_ORDER = Parameter(
    name="order",
    description="Order of the answer by event_id",
    schema={"enum": ["asc", "desc"], "default": "asc"},
    read=_read_order,
)

_FILTERS = (_KIND, _SOURCE, _SINCE, _UNTIL, _Q)
PAGE_PARAMETERS = (*_FILTERS, _SINCE_ID, _BEFORE_ID, _LIMIT, _ORDER)
STREAM_PARAMETERS = (*_FILTERS, _SINCE_ID)


class QueryReader:
    """Reads query strings against the kinds that may be named and a clock (Unix ms). All errors are Problems."""

    def __init__(
        self, kinds: KindRegistry, *, is_known_kind: Callable[[str], bool], clock_ms: Callable[[], int]
    ) -> None:
        self._kinds = kinds
        self._is_known_kind = is_known_kind
        self._clock_ms = clock_ms

    def page(self, query_string: bytes) -> EventQuery:
        """What `GET /events` asks for."""
        fields = _fields(query_string, PAGE_PARAMETERS)
        since_id, before_id = _SINCE_ID.of(fields), _BEFORE_ID.of(fields)
        newest_first = _ORDER.of(fields) == "desc"
        limit = _LIMIT.of(fields)
        return EventQuery(
            criteria=self._criteria(fields),
            min_id=1 if since_id is None else min(since_id + 1, MAX_ID),
            max_id=None if before_id is None else before_id - 1,
            limit=DEFAULT_PAGE_EVENTS if limit is None else limit,
            forward=since_id is not None and not newest_first,
            newest_first=newest_first,
        )

    def stream(self, query_string: bytes) -> tuple[Criteria, int | None, bool]:
        """What a stream asks for: its criteria, where it wants to go on (`since_id`), and whether it names a time."""
        fields = _fields(query_string, STREAM_PARAMETERS)
        criteria = self._criteria(fields)
        by_time = criteria.since_ms is not None or (
            criteria.filter is not None and plan(criteria.filter).since_ms is not None
        )
        return criteria, _SINCE_ID.of(fields), by_time

    def _criteria(self, fields: _Fields) -> Criteria:
        kinds = _KIND.of(fields)
        if not all(map(self._is_known_kind, kinds or ())):
            raise Problem(400, f"kind: not a known kind; GET /schema lists them, {EXTRA_KINDS_SETTING} adds to them")
        return Criteria(
            kinds=kinds,
            sources=_SOURCE.of(fields),
            since_ms=_SINCE.of(fields),
            until_ms=_UNTIL.of(fields),
            filter=self._filter(_Q.of(fields) or ""),
        )

    def _filter(self, text: str) -> Filter | None:
        if not text.strip():
            return None
        try:
            return parse(text, now_ms=self._clock_ms(), kinds=self._kinds)
        except FilterError as error:
            raise Problem(400, f"q, at position {error.position}: {error.message}") from None


def no_parameters(query_string: bytes) -> None:
    """Refuse whatever a query string says, for endpoints without parameters."""
    _fields(query_string, ())


def event_id_of(text: str) -> int:
    """An id from a path; 404 for a number that no event has, 422 for what is no number, as 0.1.0 answers."""
    if re.fullmatch(r"-?[0-9]+", text) is None:
        raise Problem(422, "event_id: use a whole number")
    event_id = int(text) if len(text) <= 20 else 0
    if not 1 <= event_id <= MAX_ID:
        raise Problem(404, f"unknown event_id: {text[:40]}")
    return event_id


def last_event_id_of(value: str | None) -> int | None:
    """The cursor of a `Last-Event-ID` header; None when there is none that is an id of ours.

    Never an error: a browser's EventSource that gets an error status gives up for good.
    """
    if value is None or _DIGITS.fullmatch(value) is None or int(value) > MAX_ID:
        return None
    return int(value)


def _fields(query_string: bytes, parameters: Sequence[Parameter]) -> dict[str, list[str]]:
    if not query_string:
        return {}
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS
        )
    except UnicodeDecodeError:
        raise Problem(400, "the query string is not percent-encoded UTF-8") from None
    except ValueError:
        raise Problem(400, f"the query string has more than {_MAX_FIELDS} parameters") from None
    known = {parameter.name: parameter for parameter in parameters}
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        if name not in known:
            shown = name[:40].encode("ascii", "backslashreplace").decode("ascii")
            allowed = ", ".join(sorted(known)) or "none here"
            raise Problem(400, f"{shown}: unknown parameter; known: {allowed}")
        fields.setdefault(name, []).append(value)
    for name, values in fields.items():
        if len(values) > 1 and not known[name].repeatable:
            raise Problem(400, f"{name}: is given {len(values)} times; give it once")
    return fields
