"""The OpenAPI 3.1 description that `GET /schema` serves.

Written out rather than derived from handlers' signatures: the handlers read their bodies and query strings
themselves, for speed and for exact errors. Tests hold it to the routes, and schemathesis holds the daemon to it.
"""

from __future__ import annotations

from typing import Any

from audit_daemon.http import metrics, problems
from audit_daemon.http.queries import MAX_ID
from audit_stream import __version__
from audit_stream.event import SOURCE_PATTERN
from audit_stream.filters.parser import MAX_TEXT_LENGTH
from audit_stream.kinds import KindRegistry, Severity
from audit_stream.wire import (
    DEFAULT_PAGE_EVENTS,
    JSON,
    KEY_PATTERN,
    MAX_BATCH_BYTES,
    MAX_BATCH_EVENTS,
    MAX_EVENT_BYTES,
    MAX_PAGE_EVENTS,
    NDJSON,
)

__all__ = ["document"]

Json = dict[str, Any]

_HASH: Json = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_COUNT: Json = {"type": "integer", "minimum": 0}
_ID: Json = {"type": "integer", "minimum": 1, "maximum": MAX_ID}
_INSTANT: Json = {"type": "string", "format": "date-time"}
_COUNTS: Json = {"type": "object", "additionalProperties": _COUNT}
_SEVERITIES: Json = {
    "type": "object",
    "description": "Of the kinds that the operator has added, or given another severity",
    "additionalProperties": {"enum": [severity.label for severity in Severity]},
}
_RATES: Json = {"type": "object", "additionalProperties": {"type": "number", "minimum": 0}}


def document(kinds: KindRegistry) -> Json:
    """The description of a daemon that accepts these kinds."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "audit-stream",
            "version": __version__,
            "description": "Append-only, hash-chained governance events: REST to write and query, SSE to follow.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "paths": _paths(),
        "components": {"schemas": _schemas(kinds), "responses": _RESPONSES},
    }


def _paths() -> Json:
    return {
        "/": _get("Name, version and endpoints", "meta", _json({"type": "object"})),
        "/healthz": _get("Alive", "meta", _json({"type": "object", "required": ["status"]})),
        "/readyz": _get(
            "Able to append, or why not",
            "meta",
            _json(_ref("Readiness")),
            responses={"503": {"description": "Not able to append", "content": _json(_ref("Readiness"))}},
        ),
        "/events": {
            **_get(
                "Query events: the most recent ones, oldest first, unless a cursor says otherwise",
                "consumer",
                {**_json({"type": "array", "items": _ref("Event")}), **_text(NDJSON)},
                parameters=[*_FILTERS, *_PAGING],
                headers={"Link": {"description": 'The next page, rel="next" (RFC 8288)', "schema": {"type": "string"}}},
            ),
            "post": _post(
                "Append one event; 201 means that it is on disk",
                _json(_ref("NewEvent")),
                _ref("Event"),
                f"At most {MAX_EVENT_BYTES} bytes.",
            ),
        },
        "/events/batch": {
            "post": _post(
                f"Append up to {MAX_BATCH_EVENTS} events in one commit, all or none",
                {**_json(_BATCH), **_text(NDJSON)},
                _ref("BatchReceipt"),
                f"At most {MAX_BATCH_BYTES} bytes.",
            )
        },
        "/events/{event_id}": _get(
            "One event", "consumer", _json(_ref("Event")), parameters=[_EVENT_ID], responses=_errors(404, 422)
        ),
        "/events/{event_id}/canonical": _get(
            "The exact bytes whose SHA-256 is the event's hash",
            "consumer",
            _json(_ref("CanonicalEvent")),
            parameters=[_EVENT_ID],
            responses=_errors(404, 422),
        ),
        "/stream": _stream("Events as they are appended, messages named by kind"),
        "/events/stream": _stream("The same with unnamed messages, for a browser's onmessage"),
        "/verify": _get("Walk the whole chain", "consumer", _json(_ref("Verdict")), responses=_errors(503)),
        "/stats": _get("Counts, rates, the last verdict", "consumer", _json(_ref("Stats"))),
        "/metrics": _get("Prometheus metrics", "meta", _text(metrics.MEDIA_TYPE.partition(";")[0])),
        "/schema": _get("This description", "meta", _json({"type": "object"})),
    }


def _get(
    summary: str,
    tag: str,
    content: Json,
    *,
    parameters: list[Json] | None = None,
    responses: Json | None = None,
    headers: Json | None = None,
) -> Json:
    ok: Json = {"description": "OK", "content": content}
    if headers:
        ok["headers"] = headers
    return {
        "get": {
            "summary": summary,
            "tags": [tag],
            "parameters": parameters or [],
            "responses": {"200": ok, **(responses or {}), **_errors(400, 401)},
        }
    }


def _post(summary: str, body: Json, answer: Json, limit: str) -> Json:
    return {
        "summary": summary,
        "tags": ["producer"],
        "parameters": [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "The same key from the same source gives the first answer again",
                "schema": {"type": "string", "pattern": f"^{KEY_PATTERN}$"},
            }
        ],
        "requestBody": {"required": True, "description": limit, "content": body},
        "responses": {
            "201": {"description": "On disk", "content": _json(answer)},
            "200": {"description": "The first answer to this Idempotency-Key again", "content": _json(answer)},
            **_errors(400, 401, 403, 408, 413, 415, 422, 503),
        },
    }


def _stream(summary: str) -> Json:
    return _get(
        summary,
        "consumer",
        _text("text/event-stream"),
        parameters=[
            *_FILTERS,
            _query("since_id", "Start after this event", {**_COUNT, "maximum": MAX_ID}),
            {
                "name": "Last-Event-ID",
                "in": "header",
                "description": "Go on after this event; a browser sends it by itself",
                "schema": {**_COUNT, "maximum": MAX_ID},
            },
        ],
    )


def _json(schema: Json) -> Json:
    return {JSON: {"schema": schema}}


def _text(media_type: str) -> Json:
    return {media_type: {"schema": {"type": "string"}}}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _errors(*statuses: int) -> Json:
    return {str(status): {"$ref": f"#/components/responses/{status}"} for status in statuses}


def _query(name: str, description: str, schema: Json, *, repeatable: bool = False) -> Json:
    parameter: Json = {"name": name, "in": "query", "description": description, "schema": schema}
    if repeatable:
        parameter |= {"schema": {"type": "array", "items": schema}, "style": "form", "explode": True}
    return parameter


_FILTERS = [
    _query("kind", "Only these kinds", _ref("Kind"), repeatable=True),
    _query("source", "Only these sources", {"type": "string", "minLength": 1}, repeatable=True),
    _query("since", "Only events stamped at or after this instant", _INSTANT),
    _query("until", "Only events stamped at or before this instant", _INSTANT),
    _query(
        "q",
        "A filter in the filter language, such as severity:>=warning",
        {"type": "string", "maxLength": MAX_TEXT_LENGTH},
    ),
]
_PAGING = [
    _query(
        "limit",
        "The most recent so many",
        {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_EVENTS, "default": DEFAULT_PAGE_EVENTS},
    ),
    _query("since_id", "The first so many after this event", {**_COUNT, "maximum": MAX_ID}),
    _query("before_id", "Only events before this one", _ID),
    _query("order", "Order of the answer by event_id", {"enum": ["asc", "desc"], "default": "asc"}),
]
_BATCH: Json = {"type": "array", "items": _ref("NewEvent"), "minItems": 1, "maxItems": MAX_BATCH_EVENTS}
_EVENT_ID: Json = {"name": "event_id", "in": "path", "required": True, "schema": _ID}


def _problem(description: str) -> Json:
    return {"description": description, "content": {problems.MEDIA_TYPE: {"schema": _ref("Problem")}}}


_RESPONSES: Json = {
    "400": _problem("A parameter or header cannot be used"),
    "401": _problem("This peer is not answered"),
    "403": _problem("Pages of this origin may not talk to the daemon"),
    "404": _problem("There is no such event"),
    "408": _problem("The body did not arrive in time"),
    "413": _problem("The body is too large"),
    "415": _problem("Not a content type that is read here"),
    "422": _problem("Not an event, or a key used for another body"),
    "503": _problem("Not possible now; nothing was acknowledged"),
}


def _schemas(kinds: KindRegistry) -> Json:
    new_event = {
        "kind": _ref("Kind"),
        "source": {"type": "string", "pattern": f"^{SOURCE_PATTERN.pattern}$"},
        "payload": {"type": "object", "default": {}},
        "timestamp": {
            "type": ["string", "null"],
            "format": "date-time",
            "description": "RFC 3339; stamped when absent",
        },
    }
    canonical = {
        "event_id": _ID,
        "kind": {"type": "string"},
        "payload": {"type": "object"},
        "prev_hash": _HASH,
        "source": {"type": "string"},
        "timestamp": {"type": "string"},
    }
    verdict = {
        "valid": {"type": "boolean"},
        "checked": _COUNT,
        "first_break_at": {"type": ["integer", "null"]},
        "reason": {"type": ["string", "null"]},
        "head": {"type": "object", "properties": {"event_id": _COUNT, "hash": _HASH}},
        "duration_ms": _COUNT,
        "started_at": _INSTANT,
        "verified_at": _INSTANT,
    }
    return {
        "Kind": {"type": "string", "enum": [kind.name for kind in kinds]},
        "NewEvent": _object(new_event, required=["kind", "source"], closed=True),
        "CanonicalEvent": _object(canonical),
        "Event": _object({**canonical, "hash": _HASH}),
        "BatchReceipt": _object({"count": _COUNT, "first_event_id": _ID, "last_event_id": _ID, "latest_hash": _HASH}),
        "Verdict": _object(verdict),
        "Readiness": _object(
            {"status": {"enum": ["ok", "unavailable"]}, "reasons": {"type": "array", "items": {"type": "string"}}}
        ),
        "Stats": _object(
            {
                "count": _COUNT,
                "last_event_id": _COUNT,
                "latest_hash": {"anyOf": [_HASH, {"type": "null"}]},
                "by_kind": _COUNTS,
                "by_source": _COUNTS,
                "sources": _COUNT,
                "events_of_other_sources": _COUNT,
                "severities": _SEVERITIES,
                "rates_per_second": _RATES,
                "subscribers": _COUNT,
                "database_bytes": _COUNT,
                "write_queue": _object({"events": _COUNT, "bytes": _COUNT}),
                "last_verdict": {"anyOf": [_ref("Verdict"), {"type": "null"}]},
            }
        ),
        "Problem": _object(
            {
                "title": {"type": "string"},
                "status": {"type": "integer"},
                "detail": {"type": "string"},
                "type": {"type": "string"},
            }
        ),
    }


def _object(properties: Json, *, required: list[str] | None = None, closed: bool = False) -> Json:
    schema: Json = {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
    }
    if closed:
        schema["additionalProperties"] = False
    return schema
