"""The OpenAPI 3.1 description that `GET /schema` serves.

Bodies and answers are described by the Structs that they are made of. Operations are written out here rather than
derived from handlers' signatures: the handlers read their bodies and query strings themselves, for speed and for exact
errors. Tests hold it to the routes, and schemathesis holds the daemon to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from audit_daemon.http import metrics, problems
from audit_daemon.http.queries import MAX_ID, PAGE_PARAMETERS, STREAM_PARAMETERS, Parameter
from audit_stream import __version__
from audit_stream.answers import BatchReceipt, Liveness, ProblemDetails, Readiness, Service, Stats, WriteQueue
from audit_stream.chain import Head, Verdict
from audit_stream.event import Event, NewEvent
from audit_stream.kinds import KindRegistry
from audit_stream.wire import (
    JSON,
    KEY_PATTERN,
    MAX_BATCH_BYTES,
    MAX_BATCH_EVENTS,
    MAX_EVENT_BYTES,
    NDJSON,
)

__all__ = ["document", "endpoints"]

Json = dict[str, Any]

_ID: Json = {"type": "integer", "minimum": 1, "maximum": MAX_ID}


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


def endpoints() -> dict[str, str]:
    """What `GET /` lists: method and path of each operation, and its summary."""
    return {
        f"{method:<4} {path.replace('{event_id}', '{id}')}": operation["summary"]
        for (method, path), operation in _OPERATIONS.items()
    }


def _paths() -> Json:
    paths: Json = {}
    for (method, path), operation in _OPERATIONS.items():
        paths.setdefault(path, {})[method.lower()] = operation
    return paths


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
        "summary": summary,
        "tags": [tag],
        "parameters": parameters or [],
        "responses": {"200": ok, **(responses or {}), **_errors(400, 401)},
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
            *_query(STREAM_PARAMETERS),
            {
                "name": "Last-Event-ID",
                "in": "header",
                "description": "Go on after this event; a browser sends it by itself",
                "schema": {"type": "integer", "minimum": 0, "maximum": MAX_ID},
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


def _query(parameters: Sequence[Parameter]) -> list[Json]:
    return [
        {
            "name": each.name,
            "in": "query",
            "description": each.description,
            "schema": {"type": "array", "items": each.schema} if each.repeatable else each.schema,
        }
        for each in parameters
    ]


def _names(parameters: Sequence[Parameter]) -> str:
    return " / ".join(each.name for each in parameters)


_BATCH: Json = {"type": "array", "items": _ref("NewEvent"), "minItems": 1, "maxItems": MAX_BATCH_EVENTS}
_EVENT_ID: Json = {"name": "event_id", "in": "path", "required": True, "schema": _ID}


def _problem(description: str) -> Json:
    return {"description": description, "content": {problems.MEDIA_TYPE: {"schema": _ref("ProblemDetails")}}}


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


_OPERATIONS = {
    ("GET", "/"): _get("this page", "meta", _json(_ref("Service"))),
    ("GET", "/healthz"): _get("liveness probe", "meta", _json(_ref("Liveness"))),
    ("GET", "/readyz"): _get(
        "whether events can be appended, and why not",
        "meta",
        _json(_ref("Readiness")),
        responses={"503": {"description": "Not able to append", "content": _json(_ref("Readiness"))}},
    ),
    ("POST", "/events"): _post(
        "append one event", _json(_ref("NewEvent")), _ref("Event"), f"At most {MAX_EVENT_BYTES} bytes."
    ),
    ("POST", "/events/batch"): _post(
        "append many events in one commit: a JSON array or NDJSON",
        {**_json(_BATCH), **_text(NDJSON)},
        _ref("BatchReceipt"),
        f"At most {MAX_BATCH_EVENTS} events and {MAX_BATCH_BYTES} bytes; all are appended or none.",
    ),
    ("GET", "/events"): _get(
        f"query events ({_names(PAGE_PARAMETERS)})",
        "consumer",
        {**_json({"type": "array", "items": _ref("Event")}), **_text(NDJSON)},
        parameters=_query(PAGE_PARAMETERS),
        headers={"Link": {"description": 'The next page, rel="next" (RFC 8288)', "schema": {"type": "string"}}},
    ),
    ("GET", "/events/{event_id}"): _get(
        "fetch one event", "consumer", _json(_ref("Event")), parameters=[_EVENT_ID], responses=_errors(404, 422)
    ),
    ("GET", "/events/{event_id}/canonical"): _get(
        "the exact bytes whose SHA-256 is the event's hash",
        "consumer",
        _json(_ref("CanonicalEvent")),
        parameters=[_EVENT_ID],
        responses=_errors(404, 422),
    ),
    ("GET", "/stream"): _stream(f"live tail via Server-Sent Events ({_names(STREAM_PARAMETERS)})"),
    ("GET", "/events/stream"): _stream("the same with unnamed messages, for a browser's onmessage"),
    ("GET", "/verify"): _get(
        "verify the hash chain end-to-end", "consumer", _json(_ref("Verdict")), responses=_errors(503)
    ),
    ("GET", "/stats"): _get("summary stats", "consumer", _json(_ref("Stats"))),
    ("GET", "/metrics"): _get("Prometheus metrics", "meta", _text(metrics.MEDIA_TYPE.partition(";")[0])),
    ("GET", "/schema"): _get("OpenAPI description of all of this", "meta", _json({"type": "object"})),
}
"""In the order in which `GET /` lists them by their summaries."""

_ANSWERS = (Service, Liveness, Readiness, Stats, WriteQueue, Verdict, Head, Event, BatchReceipt, ProblemDetails)


def _schemas(kinds: KindRegistry) -> Json:
    """The components: the Structs that bodies and answers are made of, and what is known only here, the kinds."""
    asked = _components(NewEvent)
    asked["NewEvent"]["properties"]["kind"] = _ref("Kind")
    answers = _components(*_ANSWERS)
    for struct in _ANSWERS:
        _as_sent(answers[struct.__name__], leaves_out_null=struct.__struct_config__.omit_defaults)
    return {
        "Kind": {"type": "string", "enum": [kind.name for kind in kinds]},
        **asked,
        **answers,
        "CanonicalEvent": _canonical(answers["Event"]),
    }


def _components(*structs: type) -> Json:
    return msgspec.json.schema_components(structs, ref_template="#/components/schemas/{name}")[1]


def _as_sent(answer: Json, *, leaves_out_null: bool) -> None:
    """Every field is there: a Struct's defaults stand for what daemons of another version leave out."""
    properties = answer["properties"]
    answer["required"] = list(properties)
    for name, field in properties.items():
        if field.pop("default", ...) is None and leaves_out_null:
            properties[name] = field["anyOf"][0]  # the other is null


def _canonical(event: Json) -> Json:
    """What an event's hash is of: all of it but the hash."""
    properties = {name: field for name, field in event["properties"].items() if name != "hash"}
    return {"type": "object", "properties": properties, "required": list(properties)}
