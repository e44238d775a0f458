"""Query strings: what they may say, and a clear answer to everything else."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qsl

from audit_daemon.http.problems import Problem
from audit_stream.errors import TimestampError
from audit_stream.filters import Filter, FilterError, parse, plan
from audit_stream.kinds import EXTRA_KINDS_SETTING, KindRegistry
from audit_stream.logfile.query import Criteria, EventQuery
from audit_stream.timestamps import parse_rfc3339_ms
from audit_stream.wire import DEFAULT_PAGE_EVENTS, MAX_PAGE_EVENTS

__all__ = ["MAX_ID", "QueryReader", "event_id_of", "last_event_id_of", "no_parameters"]

MAX_ID = 2**63 - 1

_MAX_FIELDS = 200
_DIGITS = re.compile(r"[0-9]{1,19}")

_FILTERS = frozenset({"kind", "source", "since", "until", "q"})
_PAGE_PARAMETERS = _FILTERS | {"limit", "since_id", "before_id", "order"}
_STREAM_PARAMETERS = _FILTERS | {"since_id"}
_REPEATABLE = frozenset({"kind", "source"})


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
        fields = _fields(query_string, _PAGE_PARAMETERS)
        since_id = _number(fields, "since_id", 0, MAX_ID)
        before_id = _number(fields, "before_id", 1, MAX_ID)
        newest_first = _order(fields) == "desc"
        limit = _number(fields, "limit", 1, MAX_PAGE_EVENTS)
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
        fields = _fields(query_string, _STREAM_PARAMETERS)
        criteria = self._criteria(fields)
        by_time = criteria.since_ms is not None or (
            criteria.filter is not None and plan(criteria.filter).since_ms is not None
        )
        return criteria, _number(fields, "since_id", 0, MAX_ID), by_time

    def _criteria(self, fields: Mapping[str, Sequence[str]]) -> Criteria:
        for kind in fields.get("kind", ()):
            if not self._is_known_kind(kind):
                raise Problem(
                    400, f"kind: not a known kind; GET /schema lists them, {EXTRA_KINDS_SETTING} adds to them"
                )
        if any(not source for source in fields.get("source", ())):
            raise Problem(400, "source: is empty; leave it out to read all sources")
        return Criteria(
            kinds=frozenset(fields["kind"]) if "kind" in fields else None,
            sources=frozenset(fields["source"]) if "source" in fields else None,
            since_ms=_instant(fields, "since"),
            until_ms=_instant(fields, "until"),
            filter=self._filter(fields),
        )

    def _filter(self, fields: Mapping[str, Sequence[str]]) -> Filter | None:
        text = fields.get("q", [""])[0]
        if not text.strip():
            return None
        try:
            return parse(text, now_ms=self._clock_ms(), kinds=self._kinds)
        except FilterError as error:
            raise Problem(400, f"q, at position {error.position}: {error.message}") from None


def no_parameters(query_string: bytes) -> None:
    """Refuse whatever a query string says, for endpoints without parameters."""
    _fields(query_string, frozenset())


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


def _fields(query_string: bytes, known: frozenset[str]) -> dict[str, list[str]]:
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
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        if name not in known:
            shown = name[:40].encode("ascii", "backslashreplace").decode("ascii")
            allowed = ", ".join(sorted(known)) or "none here"
            raise Problem(400, f"{shown}: unknown parameter; known: {allowed}")
        fields.setdefault(name, []).append(value)
    for name, values in fields.items():
        if len(values) > 1 and name not in _REPEATABLE:
            raise Problem(400, f"{name}: is given {len(values)} times; give it once")
    return fields


def _number(fields: Mapping[str, Sequence[str]], name: str, low: int, high: int) -> int | None:
    if name not in fields:
        return None
    text = fields[name][0]
    if _DIGITS.fullmatch(text) is None or not low <= int(text) <= high:
        raise Problem(400, f"{name} must be in {low}..{high}")
    return int(text)


def _order(fields: Mapping[str, Sequence[str]]) -> str:
    order = fields.get("order", ["asc"])[0]
    if order not in ("asc", "desc"):
        raise Problem(400, "order must be asc or desc")
    return order


def _instant(fields: Mapping[str, Sequence[str]], name: str) -> int | None:
    if name not in fields:
        return None
    # A "+" that was not percent-encoded arrives as a space; no RFC 3339 instant has one, so it can only be that.
    text = fields[name][0].replace(" ", "+")
    try:
        return parse_rfc3339_ms(text)
    except TimestampError as error:
        raise Problem(400, f"{name}: {error}") from None
