"""`audit-stream emit`: append events from a shell."""

from __future__ import annotations

import asyncio
import json as json_module
import os
import re
import sys
import uuid
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

import msgspec
from cyclopts import Parameter
from cyclopts.validators import Number

from audit_daemon.cli.errors import COULD_NOT, FINDING, OK, CommandError, UnknownOption
from audit_daemon.cli.options import Json, Url
from audit_daemon.cli.terminal import write, write_line
from audit_stream.client import DEFAULT_URL, Client
from audit_stream.display import safe
from audit_stream.errors import ClientError
from audit_stream.wire import MAX_BATCH_BYTES

__all__ = ["emit"]

_CHUNK_LINES = 1_000
_CHUNK_BYTES = MAX_BATCH_BYTES // 2
"""Half of what the daemon takes in one body, so that one more line never exceeds it."""
_READ_BYTES = 1 << 20

_RETRY_ONE_S = 5.0
_RETRY_MANY_S = 60.0
"""Someone waits for one event; a pipe can wait for a daemon that is restarted on another machine."""

_REFUSALS = frozenset({413, 422})
"""Statuses by which the daemon says that the event is wrong, not the request or the address."""

_ITEM = re.compile(r"\[(\d+)\](?:\.|: )?", re.ASCII)


def emit(
    kind: Annotated[
        str,
        Parameter(
            allow_leading_hyphen=True,
            show_default=False,
            help="The event's kind, or - to read NDJSON from standard input.",
        ),
    ] = "",
    source: Annotated[str, Parameter(show_default=False, help="The service that decided.")] = "",
    /,
    *fields: Annotated[str, Parameter(help="The payload's fields: key=text, or key:=JSON for numbers and the rest.")],
    payload: Annotated[str | None, Parameter(help="The payload as a JSON object; fields are added to it.")] = None,
    timestamp: Annotated[
        str | None, Parameter(help="When it happened, as an RFC 3339 instant; by default the daemon says.")
    ] = None,
    stdin: Annotated[
        bool, Parameter(negative=(), show_default=False, help="Read NDJSON, one event a line, from standard input.")
    ] = False,
    idempotency_key: Annotated[
        str | None, Parameter(help="The same key and events again are stored only once; by default a random key.")
    ] = None,
    retry_for: Annotated[
        float | None,
        Parameter(
            help="Seconds for which a daemon that is away or busy is tried again; default 5, with standard input 60.",
            validator=Number(gte=0),
        ),
    ] = None,
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> int:
    """Append one event, or with - all events of standard input, in chunks that are stored whole or not at all.

    Prints what was stored once it is on the daemon's disk. A refused event ends the command with 1 and is named by its
    line; what was printed before it is stored. A retry never stores anything twice.

    ```
    audit-stream emit request_denied policy-as-code-engine rule=dpa-required attempts:=3
    audit-stream emit other my-service --payload '{"answer": 42}' --timestamp 2026-05-15T03:14:15Z
    audit-stream emit - < new.ndjson
    audit-stream emit - --idempotency-key nightly-2026-05-15 < new.ndjson
    ```
    """
    if kind.startswith("-") and kind != "-":
        raise UnknownOption(kind)
    if not stdin and kind != "-":
        event = _event(kind, source, fields, payload, timestamp)
        return _emit_one(url, event, idempotency_key, _RETRY_ONE_S if retry_for is None else retry_for, json=json)
    if source or fields or payload or timestamp or (stdin and kind not in ("", "-")):
        raise CommandError("with standard input, everything about the events comes from there: drop the arguments")
    return _emit_many(url, idempotency_key, _RETRY_MANY_S if retry_for is None else retry_for, json=json)


def _event(
    kind: str, source: str, fields: tuple[str, ...], payload: str | None, timestamp: str | None
) -> dict[str, Any]:
    if not kind or not source:
        raise CommandError("give KIND and SOURCE, such as: audit-stream emit other my-service key=value")
    content = {} if payload is None else _json(payload, "--payload")
    if not isinstance(content, dict):
        raise CommandError("--payload: use a JSON object, such as '{\"answer\": 42}'")
    for field in fields:
        key, equals, value = field.partition("=")
        if not equals or not key or key == ":":
            raise CommandError(f"{field}: write a field of the payload as key=text or key:=JSON")
        content[key.removesuffix(":")] = _json(value, field) if key.endswith(":") else value
    event = {"kind": kind, "source": source, "payload": content}
    return event if timestamp is None else event | {"timestamp": timestamp}


def _json(text: str, origin: str) -> Any:
    try:
        return json_module.loads(text)
    except (ValueError, RecursionError) as error:
        raise CommandError(f"{origin}: no valid JSON: {error}") from None


def _emit_one(url: str, event: dict[str, Any], key: str | None, retry_for_s: float, *, json: bool) -> int:
    async def append() -> None:
        # json.dumps, as the canonical form needs it: an integer of any size stays what it is.
        body = json_module.dumps(event).encode()
        async with Client(url) as client:
            try:
                appended = await client.append(body, idempotency_key=key, retry_for_s=retry_for_s)
            except ClientError as error:
                raise CommandError(str(error), _exit_code(error)) from None
        if json:
            write(appended.event.raw + b"\n")
        else:
            stored = appended.event.decode()
            again = " already" if appended.replayed else ""
            write_line(f"#{stored.event_id}{again} stored, hash {safe(stored.hash)}")

    asyncio.run(append())
    return OK


def _emit_many(url: str, key: str | None, retry_for_s: float, *, json: bool) -> int:
    """Read here, send in a loop: so Ctrl-C ends a read that waits for a pipe."""
    client = Client(url)
    run_key = key or uuid.uuid4().hex
    with asyncio.Runner() as runner:
        try:
            for number, chunk in enumerate(_chunks(sys.stdin.fileno(), whole=key is not None), 1):
                sent = client.append_batch(
                    b"\n".join(chunk.lines), idempotency_key=f"{run_key}-{number}", retry_for_s=retry_for_s
                )
                try:
                    receipt = runner.run(sent)
                except ClientError as error:
                    raise _located(error, chunk) from None
                if json:
                    write(msgspec.json.encode(receipt) + b"\n")
                else:
                    again = " already" if receipt.replayed else ""
                    write_line(
                        f"#{receipt.first_event_id} to #{receipt.last_event_id}{again} stored, "
                        f"hash {safe(receipt.latest_hash)}"
                    )
                sys.stdout.flush()
        finally:
            runner.run(client.close())
    return OK


class _Chunk(NamedTuple):
    """Lines that are sent together, and the number that each has in the input."""

    numbers: list[int]
    lines: list[bytes]


def _chunks(descriptor: int, *, whole: bool) -> Iterator[_Chunk]:
    """The input's lines, blank ones left out. What has come is sent without waiting for more.

    With `whole`, chunks depend on the input alone, not on how fast it comes, so that the same input gets the same keys.
    """
    numbers: list[int] = []
    lines: list[bytes] = []
    size_bytes = count = 0
    for arrived in _arrivals(descriptor):
        for line in arrived:
            count += 1
            if not line.strip():
                continue
            if lines and (len(lines) == _CHUNK_LINES or size_bytes + len(line) > _CHUNK_BYTES):
                yield _Chunk(numbers, lines)
                numbers, lines, size_bytes = [], [], 0
            numbers.append(count)
            lines.append(line)
            size_bytes += len(line) + 1
        if lines and not whole:
            yield _Chunk(numbers, lines)
            numbers, lines, size_bytes = [], [], 0
    if lines:
        yield _Chunk(numbers, lines)


def _arrivals(descriptor: int) -> Iterator[list[bytes]]:
    """The complete lines of each read; at the end a last line without a line break too."""
    pieces: list[bytes] = []
    while data := os.read(descriptor, _READ_BYTES):
        head, newline, tail = data.rpartition(b"\n")
        if newline:
            yield b"".join([*pieces, head]).split(b"\n")
            pieces = []
        pieces.append(tail)
    if last := b"".join(pieces):
        yield [last]


def _located(error: ClientError, chunk: _Chunk) -> CommandError:
    """The daemon's refusal with the line of the input instead of the index in the chunk."""
    first, last = chunk.numbers[0], chunk.numbers[-1]
    lines = f"line {first}" if first == last else f"lines {first} to {last}"
    item = _ITEM.match(str(error))
    if item is not None and int(item.group(1)) < len(chunk.lines):
        line = chunk.numbers[int(item.group(1))]
        return CommandError(f"line {line}: {str(error)[item.end() :]}; nothing of {lines} was stored", FINDING)
    return CommandError(f"{lines}: {error}", _exit_code(error))


def _exit_code(error: ClientError) -> int:
    return FINDING if error.status in _REFUSALS else COULD_NOT
