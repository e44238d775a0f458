"""Events: what a producer sends, and what the chain holds.

A producer sends `kind`, `source`, an optional `payload` and an optional `timestamp`; the store assigns the rest.
`EventReader` turns a body into `UnlinkedEvent` events or says exactly what is wrong with it.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Annotated, Any, NamedTuple

import msgspec

from audit_stream.canonical import MAX_CANONICAL_BYTES, UnlinkedEvent, prepare
from audit_stream.chain import Hash
from audit_stream.errors import EventRejected, TimestampError
from audit_stream.items import MAX_ITEM_BYTES, SLICE_BYTES, array_bounds, guess_cut, next_item, skip_white
from audit_stream.kinds import DEFAULT_KINDS, EXTRA_KINDS_SETTING, KindRegistry
from audit_stream.numbers import AppendedId, read_float
from audit_stream.timestamps import Instant, format_rfc3339_ms, parse_rfc3339_ms

__all__ = ["MAX_NESTING", "SOURCE_PATTERN", "Event", "EventReader", "NewEvent", "Step", "system_clock_ms"]

MAX_NESTING = 128
"""How deep a payload may nest, itself counted: every JSON reader that we know of takes that."""

MAX_SOURCE = 128

SOURCE_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}")
"""Names of services, hosts, paths and addresses; nothing that a terminal, a URL or a metric label must escape."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One event of the chain. `hash` and `prev_hash` are 64 lower-case hex characters."""

    event_id: AppendedId
    timestamp: str
    kind: str
    source: str
    payload: dict[str, Any]
    prev_hash: Hash
    hash: Hash


class NewEvent(msgspec.Struct, forbid_unknown_fields=True):
    """The fields that a producer may send (0.1.0: `PublishRequest`)."""

    kind: str
    source: Annotated[str, msgspec.Meta(extra_json_schema={"pattern": f"^{SOURCE_PATTERN.pattern}$"})]
    payload: dict[str, Any] = {}
    timestamp: Annotated[Instant | None, msgspec.Meta(description="Stamped when absent")] = None


def system_clock_ms() -> int:
    """Unix milliseconds now."""
    return time.time_ns() // 1_000_000


class Step(NamedTuple):
    """Some of a batch's events, and the text that they were read from: JSON values with commas between."""

    events: list[UnlinkedEvent]
    items: bytes


class EventReader:
    """Reads producers' bodies. Pure but for the clock; may be shared between threads."""

    def __init__(self, kinds: KindRegistry = DEFAULT_KINDS, *, clock_ms: Callable[[], int] = system_clock_ms) -> None:
        self.kinds = kinds
        self._kind_names = frozenset(kind.name for kind in kinds)
        self._clock_ms = clock_ms
        self._one = msgspec.json.Decoder(NewEvent, float_hook=read_float)
        self._raw_items = msgspec.json.Decoder(list[msgspec.Raw])
        self._many = msgspec.json.Decoder(list[NewEvent], float_hook=read_float)

    def read(self, body: bytes | bytearray) -> UnlinkedEvent:
        """The event of a JSON object. Raises EventRejected, which names the field and never repeats the payload."""
        return self._read(body, self._now())

    def read_array(self, body: bytes | bytearray, *, max_events: int) -> list[UnlinkedEvent]:
        """The events of a JSON array, all or none. Raises EventRejected naming the index, such as `[17].source`."""
        return [event for step in self.array_steps(body, max_events=max_events) for event in step.events]

    def read_ndjson(self, body: bytes | bytearray, *, max_events: int) -> list[UnlinkedEvent]:
        """The events of newline-delimited JSON; blank lines are skipped and not counted. Errors as `read_array`."""
        return [event for step in self.ndjson_steps(body, max_events=max_events) for event in step.events]

    def array_steps(self, body: bytes | bytearray, *, max_events: int) -> Iterator[Step]:
        """As `read_array`, in steps that each take a few milliseconds, whatever the body holds.

        What one step gives is worth nothing until the last one has come. A bytearray is emptied on the way, so that
        text and events are not both held whole.
        """
        now = self._now()
        if len(body) <= SLICE_BYTES:
            yield self._small_array(body, now, max_events)
            return
        bounds = array_bounds(body)
        if bounds is None:
            raise EventRejected("", "the body is no JSON array: send a list of events")
        start, end = bounds
        _check_count(end - start, end - start)
        count, cut = 0, start
        while cut < end:
            step, cut = self._guessed(body, start, end, now) or self._one_by_one(
                body, start, end, count, now, max_events
            )
            count += len(step.events)
            _check_count(count, max_events, more=cut < end)
            yield step
            start = cut + 1
            if cut < end and (dropped := _drop_first(body, start)):
                start, cut, end = 0, -1, end - dropped

    def ndjson_steps(self, body: bytes | bytearray, *, max_events: int) -> Iterator[Step]:
        """As `read_ndjson`, in steps like those of `array_steps`."""
        now = self._now()
        start = count = 0
        while start < len(body):
            newline = body.find(b"\n", start + SLICE_BYTES)
            end = len(body) if newline < 0 else newline
            lines = [line for line in bytes(body[start:end]).split(b"\n") if line and not line.isspace()]
            _check_count(max(count + len(lines), 1), max_events, more=newline >= 0)
            if lines:
                events = [self._at(index, line, now) for index, line in enumerate(lines, count)]
                yield Step(events, b",".join(lines))
            count += len(lines)
            start = end + 1
            start -= _drop_first(body, start)
        _check_count(count, max_events)

    def _small_array(self, body: bytes | bytearray, now: tuple[str, int], max_events: int) -> Step:
        """All of an array that is decoded at once."""
        try:
            new_events: list[NewEvent] = _decode(self._many, body)
        except EventRejected:
            items = _decode(self._raw_items, body)
            _check_count(len(items), max_events)
            return Step([self._at(index, bytes(item), now) for index, item in enumerate(items)], _inside(body))
        _check_count(len(new_events), max_events)
        accepted: list[UnlinkedEvent] = []
        try:
            for new_event in new_events:
                accepted.append(self._accept(new_event, now))  # noqa: PERF401 - the length names the item that fails
        except EventRejected as error:
            raise _indexed(len(accepted), error) from None
        return Step(accepted, _inside(body))

    def _guessed(self, body: bytes | bytearray, start: int, end: int, now: tuple[str, int]) -> tuple[Step, int] | None:
        """A slice's events, and where it ends; None when it was cut in the wrong place or an event of it is wrong."""
        cut = guess_cut(body, start, end)
        if cut is None:
            return None
        items = bytes(body[start:cut])
        try:
            events = [self._accept(new_event, now) for new_event in self._many.decode(b"[%b]" % items)]
        except (EventRejected, ValueError, RecursionError):  # msgspec's errors are ValueErrors
            return None
        return (Step(events, items), cut) if events else None

    def _one_by_one(
        self, body: bytes | bytearray, start: int, end: int, count: int, now: tuple[str, int], max_events: int
    ) -> tuple[Step, int]:
        """A slice's events, found and decoded one after the other, and where the slice ends."""
        events: list[UnlinkedEvent] = []
        begin = start
        while True:
            index = count + len(events)
            _check_count(index + 1, max_events, more=True)
            first, last = next_item(body, start, end)
            events.append(self._at(index, bytes(body[first:last]), now))
            comma = body.find(b",", last, end)
            if skip_white(body, last) < (end if comma < 0 else comma):
                raise EventRejected(f"[{index}]", "is followed by something else than a comma and the next event")
            if comma < 0 or comma - begin >= SLICE_BYTES:
                cut = end if comma < 0 else comma
                return Step(events, bytes(body[begin:cut])), cut
            start = comma + 1

    def _at(self, index: int, body: bytes, now: tuple[str, int]) -> UnlinkedEvent:
        try:
            return self._read(body, now)
        except EventRejected as error:
            raise _indexed(index, error) from None

    def _read(self, body: bytes | bytearray, now: tuple[str, int]) -> UnlinkedEvent:
        if len(body) > MAX_CANONICAL_BYTES:  # rare: most of it must be white space and escapes
            _check_size(body)
        return self._accept(_decode(self._one, body), now)

    def _now(self) -> tuple[str, int]:
        """The stamp for events without a timestamp: one for a whole batch."""
        time_ms = self._clock_ms()
        return format_rfc3339_ms(time_ms), time_ms

    def _accept(self, new_event: NewEvent, now: tuple[str, int]) -> UnlinkedEvent:
        if new_event.kind not in self._kind_names:
            raise _unknown_kind(new_event.kind)
        if len(new_event.source) > MAX_SOURCE or not _is_source(new_event.source):
            raise EventRejected("source", _source_reason(new_event.source))
        timestamp, time_ms = now
        if new_event.timestamp is not None:
            timestamp = new_event.timestamp
            try:
                time_ms = parse_rfc3339_ms(timestamp)
            except TimestampError as error:
                raise EventRejected("timestamp", f"{error}; leave it out to have the daemon stamp it") from None
        try:
            prepared = prepare(
                kind=new_event.kind,
                source=new_event.source,
                payload=new_event.payload,
                timestamp=timestamp,
                time_ms=time_ms,
            )
        except RecursionError:
            raise _nested_too_deep() from None
        # Cheap and never wrong in the negative: a payload cannot nest deeper than it has brackets.
        middle = prepared.middle
        if middle.count(b"{") + middle.count(b"[") > MAX_NESTING and _nesting(new_event.payload) > MAX_NESTING:
            raise _nested_too_deep()
        return prepared


def _drop_first(body: bytes | bytearray, size: int) -> int:
    """Give back the memory of the first bytes when they are half of all, and it can be. Returns how many were."""
    if not isinstance(body, bytearray) or 2 * size < len(body):
        return 0
    size = min(size, len(body))
    del body[:size]
    return size


def _inside(array: bytes | bytearray) -> bytes:
    return bytes(array).strip(_WHITE)[1:-1]


@functools.lru_cache(maxsize=4096)
def _is_source(text: str) -> bool:
    return SOURCE_PATTERN.fullmatch(text) is not None


def _decode(decoder: msgspec.json.Decoder[Any], body: bytes | bytearray) -> Any:
    """Decode, turning each way in which a body can be malformed into one EventRejected."""
    if not body or body.isspace():
        raise EventRejected("", "the body is empty: send a JSON object with kind and source")
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _explain(str(error)) from None
    except msgspec.DecodeError as error:
        raise _explain_malformed(body, str(error)) from None
    except UnicodeDecodeError:  # msgspec up to 0.22
        raise EventRejected("", _NOT_UTF8) from None
    except RecursionError:
        raise _nested_too_deep() from None


_NOT_UTF8 = "the body is not UTF-8: a string of it holds an invalid byte"

_LOOK_CLOSER_BYTES = SLICE_BYTES
"""Bodies up to this size are read a second time to say where they are wrong."""


def _explain_malformed(body: bytes | bytearray, message: str) -> EventRejected:
    """Name the field for what Python's own reader lets through: NaN, infinities and lone surrogates."""
    if "UTF-8" in message:
        return EventRejected("", _NOT_UTF8)
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


_WHITE = b" \t\r\n"
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
        f"or have the operator add it to {EXTRA_KINDS_SETTING}"
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


def _check_count(count: int, max_events: int, *, more: bool = False) -> None:
    """`more` tells that the batch goes on after the ones that were counted."""
    if count == 0:
        raise EventRejected("", "the batch is empty: send at least one event")
    if count > max_events:
        has = f"more than {max_events}" if more else count
        raise EventRejected("", f"the batch has {has} events; {max_events} are allowed: split it")


_FLOAT = re.compile(rb"[0-9][.eE][+-]?[0-9]+[ \t\r\n]*[,\]}]")


def _check_size(body: bytes | bytearray) -> None:
    """Refuse a text that is long in any form before it is decoded, and its floats are written again one by one.

    Each comma is one of the canonical form's too, and a float takes four bytes there at least, with what follows it;
    but for keys that are there more than once, which nobody sends by the ten thousand.
    """
    if len(body) > MAX_ITEM_BYTES:
        raise EventRejected("", f"an event is at most {MAX_ITEM_BYTES} bytes of JSON")
    floats = sum(1 for _ in _FLOAT.finditer(body))
    if body.count(b",") > MAX_CANONICAL_BYTES or 4 * floats > MAX_CANONICAL_BYTES:
        raise EventRejected("payload", f"takes more than {MAX_CANONICAL_BYTES} bytes in any form")


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
