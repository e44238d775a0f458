"""Events: what a producer sends, and what the chain holds.

A producer sends `kind`, `source`, an optional `payload` and an optional `timestamp`; the store assigns the rest.
`EventReader` turns a body into `Prepared` events or says exactly what is wrong with it.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
import time
from collections.abc import Callable
from typing import Any

import msgspec

from audit_stream.canonical import Prepared, prepare
from audit_stream.errors import EventRejected, TimestampError
from audit_stream.kinds import DEFAULT_KINDS, EXTRA_KINDS_SETTING, KindRegistry
from audit_stream.numbers import EventId
from audit_stream.timestamps import format_rfc3339_ms, parse_rfc3339_ms

__all__ = ["MAX_NESTING", "SOURCE_PATTERN", "Draft", "Event", "EventReader", "system_clock_ms"]

MAX_NESTING = 128
"""How deep a payload may nest, itself counted: every JSON reader that we know of takes that."""

MAX_SOURCE = 128

SOURCE_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}")
"""Names of services, hosts, paths and addresses; nothing that a terminal, a URL or a metric label must escape."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One event of the chain. `hash` and `prev_hash` are 64 lower-case hex characters."""

    event_id: EventId
    timestamp: str
    kind: str
    source: str
    payload: dict[str, Any]
    prev_hash: str
    hash: str


class Draft(msgspec.Struct, forbid_unknown_fields=True):
    """The fields that a producer may send (seed: `PublishRequest`)."""

    kind: str
    source: str
    payload: dict[str, Any] = {}
    timestamp: str | None = None


def system_clock_ms() -> int:
    """Unix milliseconds now."""
    return time.time_ns() // 1_000_000


class EventReader:
    """Reads producers' bodies. Pure but for the clock; may be shared between threads."""

    def __init__(self, kinds: KindRegistry = DEFAULT_KINDS, *, clock_ms: Callable[[], int] = system_clock_ms) -> None:
        self.kinds = kinds
        self._kind_names = frozenset(kind.name for kind in kinds)
        self._clock_ms = clock_ms
        self._one = msgspec.json.Decoder(Draft)
        self._raw_items = msgspec.json.Decoder(list[msgspec.Raw])
        self._many = msgspec.json.Decoder(list[Draft])

    def read(self, body: bytes) -> Prepared:
        """The event of a JSON object. Raises EventRejected, which names the field and never repeats the payload."""
        return self._accept(_decode(self._one, body), self._now())

    def read_array(self, body: bytes, *, max_events: int) -> list[Prepared]:
        """The events of a JSON array, all or none. Raises EventRejected naming the index, such as `[17].source`."""
        try:
            drafts: list[Draft] = _decode(self._many, body)
        except EventRejected:
            if len(body) > _LOOK_CLOSER_BYTES:
                raise
            items = _decode(self._raw_items, body)
            _check_count(len(items), max_events)
            return [self._at(index, bytes(item)) for index, item in enumerate(items)]
        _check_count(len(drafts), max_events)
        now = self._now()
        accepted: list[Prepared] = []
        try:
            for draft in drafts:
                accepted.append(self._accept(draft, now))  # noqa: PERF401 - the length names the item that fails
        except EventRejected as error:
            raise _indexed(len(accepted), error) from None
        return accepted

    def read_ndjson(self, body: bytes, *, max_events: int) -> list[Prepared]:
        """The events of newline-delimited JSON; blank lines are skipped and not counted. Errors as `read_array`."""
        lines = [line for line in body.split(b"\n") if line.strip(b" \t\r")]
        _check_count(len(lines), max_events)
        return [self._at(index, line) for index, line in enumerate(lines)]

    def _at(self, index: int, body: bytes) -> Prepared:
        try:
            return self.read(body)
        except EventRejected as error:
            raise _indexed(index, error) from None

    def _now(self) -> tuple[str, int]:
        """The stamp for events without a timestamp: one for a whole batch."""
        time_ms = self._clock_ms()
        return format_rfc3339_ms(time_ms), time_ms

    def _accept(self, draft: Draft, now: tuple[str, int]) -> Prepared:
        if draft.kind not in self._kind_names:
            raise _unknown_kind(draft.kind)
        if len(draft.source) > MAX_SOURCE or not _is_source(draft.source):
            raise EventRejected("source", _source_reason(draft.source))
        timestamp, time_ms = now
        if draft.timestamp is not None:
            timestamp = draft.timestamp
            try:
                time_ms = parse_rfc3339_ms(timestamp)
            except TimestampError as error:
                raise EventRejected("timestamp", f"{error}; leave it out to have the daemon stamp it") from None
        try:
            prepared = prepare(
                kind=draft.kind, source=draft.source, payload=draft.payload, timestamp=timestamp, time_ms=time_ms
            )
        except RecursionError:
            raise _nested_too_deep() from None
        # Cheap and never wrong in the negative: a payload cannot nest deeper than it has brackets.
        middle = prepared.middle
        if middle.count(b"{") + middle.count(b"[") > MAX_NESTING and _nesting(draft.payload) > MAX_NESTING:
            raise _nested_too_deep()
        return prepared


@functools.lru_cache(maxsize=4096)
def _is_source(text: str) -> bool:
    return SOURCE_PATTERN.fullmatch(text) is not None


def _decode(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    """Decode, turning each way in which a body can be malformed into one EventRejected."""
    if not body.strip(b" \t\r\n"):
        raise EventRejected("", "the body is empty: send a JSON object with kind and source")
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _explain(str(error)) from None
    except msgspec.DecodeError as error:
        raise _explain_malformed(body, str(error)) from None
    except UnicodeDecodeError as error:
        raise EventRejected("", f"the body is not UTF-8: invalid byte at a string's offset {error.start}") from None
    except RecursionError:
        raise _nested_too_deep() from None


_LOOK_CLOSER_BYTES = 1 << 20
"""Bodies up to this size are read a second time to say where they are wrong."""


def _explain_malformed(body: bytes, message: str) -> EventRejected:
    """Name the field for what Python's own reader lets through: NaN, infinities and lone surrogates."""
    content: object = None
    if len(body) <= _LOOK_CLOSER_BYTES:
        with contextlib.suppress(ValueError, RecursionError):
            content = json.loads(body)
    many = isinstance(content, list)
    for index, item in enumerate(content if isinstance(content, list) else [content]):
        for name, value in item.items() if isinstance(item, dict) else ():
            reason = _not_json({name: value})
            if reason is not None:
                field = _printable(name)
                return EventRejected(f"[{index}].{field}" if many else field, reason)
    return EventRejected("", f"the body is no valid JSON ({message})")


def _not_json(value: object) -> str | None:
    """Why a value that Python has read from JSON text is no JSON value; None when it is one."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        return "holds a lone surrogate, which is no character: send well-formed text"
    except RecursionError:
        return None
    except ValueError:
        return "holds NaN, an infinity or a number beyond 1.8e308, which JSON cannot carry: send null or a string"
    return None


_PATH = re.compile(r" - at `(?:key in )?\$?\.?(.*?)`$", re.DOTALL)
_FIELD = re.compile(r"Object (?:missing required|contains unknown) field `(.*)`", re.DOTALL)


def _explain(message: str) -> EventRejected:
    """Turn msgspec's words into the field's name and what to do."""
    path = _PATH.search(message)
    field = _top_field(path.group(1)) if path else ""
    reason = message[: path.start()] if path else message
    item = re.match(r"\[(\d+)\]\.?(.*)", path.group(1), re.DOTALL) if path else None
    if item is not None:  # in a batch: the path begins with the item's index
        inner = _explain(f"{reason} - at `$.{item[2]}`" if item[2] else reason)
        return _indexed(int(item[1]), inner)
    named = _FIELD.search(reason)
    if named:
        field = _printable(named.group(1))
        if "missing" in reason:
            return EventRejected(field, "is required")
        return EventRejected(field, "is not a field of an event: use kind, source, payload and timestamp")
    if "Number out of range" in reason or "Integer value out of range" in reason:
        return EventRejected(field or "payload", "holds a number that no JSON reader can hold: send it as a string")
    return EventRejected(field, reason[:1].lower() + reason[1:].replace("`", ""))


def _top_field(path: str) -> str:
    """The event's own field that a msgspec path leads into; deeper keys are payload content and not repeated."""
    return re.split(r"[.\[]", path, maxsplit=1)[0] if not path.startswith("[") else ""


def _printable(name: str) -> str:
    """A field name that came from outside, safe to show: ASCII, at most 64 characters."""
    return name[:64].encode("ascii", "backslashreplace").decode("ascii")


def _unknown_kind(kind: str) -> EventRejected:
    return EventRejected(
        "kind",
        f"{_printable(kind)!r} is not a known kind: use one of those that GET /schema lists, "
        f"or have the operator allow it with {EXTRA_KINDS_SETTING}={_printable(kind)}"
        if kind
        else "is empty",
    )


def _source_reason(source: str) -> str:
    if not source:
        return "is empty: name the service that decided"
    return (
        "must be 1 to 128 characters: a letter or digit first, then letters, digits and . _ : / @ - "
        f"(got {len(source)} characters)"
    )


def _nested_too_deep() -> EventRejected:
    return EventRejected("payload", f"nests more than {MAX_NESTING} levels deep")


def _check_count(count: int, max_events: int) -> None:
    if count == 0:
        raise EventRejected("", "the batch is empty: send at least one event")
    if count > max_events:
        raise EventRejected("", f"the batch has {count} events; {max_events} are allowed: split it")


def _indexed(index: int, error: EventRejected) -> EventRejected:
    return EventRejected(f"[{index}].{error.field}" if error.field else f"[{index}]", error.reason)


def _nesting(payload: object) -> int:
    """Levels of objects and arrays, the payload itself counted; stops counting soon after MAX_NESTING."""
    depth, level = 0, [payload]
    while level and depth <= MAX_NESTING:
        depth += 1
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node if isinstance(node, list) else ())
            if isinstance(child, dict | list)
        ]
    return depth
