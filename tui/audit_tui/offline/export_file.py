"""Where the events of an export stand in its file, and what they are.

An export is one JSON object a line, or a JSON array, as daemons since 0.1.0 give them; the whole log or a part of it,
in any order. Items that are no event are left out, and their places are kept.
"""

from __future__ import annotations

import json
import os
from array import array
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from audit_stream.canonical import canonical_bytes, canonical_event, hash_of
from audit_stream.errors import ClientError
from audit_stream.event import Event
from audit_stream.exports import is_event
from audit_stream.logfile.served import with_claimed_hash
from audit_stream.numbers import read_float

__all__ = ["ExportFile", "Fingerprint", "NotAnEvent", "as_served", "fingerprint", "read_event", "scan"]

_MAX_LINE = 64 << 20
"""Bytes; 0.1.0 had no limit, but what is longer than this is no event."""

_MAX_NOTED = 1_000
_UNFINISHED = b"{"
"""Stands for what is missing of an array that breaks off between two items."""
_MAX_CUTS_TRIED = 16

Fingerprint = tuple[int, int, int, int]
"""Device, inode, size and time of change: another one says that the file must be read anew."""


class NotAnEvent(msgspec.Struct, frozen=True):
    """An item that is no event, `where` people find it, and the id of the event before it in the file, 0 for none.

    `why` is there when it would be one with another id.
    """

    where: str
    after_id: int
    why: str = ""

    @property
    def reason(self) -> str:
        """Of a verdict, in one sentence."""
        return f"{self.where} of the file is no event{self.why and f': {self.why}'}"


class ExportFile(msgspec.Struct, frozen=True, kw_only=True):
    """Places by ascending id, 20 bytes an event; an id that comes again is there again.

    `ends_within` is the line or item in which the file breaks off, "" when it does not.
    """

    fingerprint: Fingerprint
    ids: array[int]
    starts: array[int]
    lengths: array[int]
    by_kind: Counter[str]
    by_source: Counter[str]
    not_events: list[NotAnEvent]
    ends_within: str = ""

    def read(self, file: BinaryIO, index: int) -> bytes:
        """The bytes at a place; something else, or less, when the file has changed meanwhile."""
        return os.pread(file.fileno(), self.lengths[index], self.starts[index])  # mapped, a file that is cut kills us


class _Series(msgspec.Struct, forbid_unknown_fields=True):
    """The fields of an event as far as a scan needs them; the payload is skipped."""

    event_id: int
    kind: str
    source: str
    payload: msgspec.Raw
    timestamp: str
    prev_hash: str
    hash: str


_series = msgspec.json.Decoder(_Series)
_event = msgspec.json.Decoder(Event, float_hook=read_float)


def fingerprint(path: Path) -> Fingerprint:
    """Of the file that the path names now. Raises OSError."""
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def scan(path: Path) -> ExportFile:
    """Read the whole file once. Raises ClientError when it is no export at all, or OSError."""
    if not path.is_file():
        raise ClientError(f"{path} {'is no file' if path.exists() else 'does not exist'}: give an export")
    found = ExportFile(
        fingerprint=fingerprint(path),
        ids=array("q"),
        starts=array("Q"),
        lengths=array("I"),
        by_kind=Counter(),
        by_source=Counter(),
        not_events=[],
    )
    where, item = "", b""
    with path.open("rb") as file:
        for number, (start, item, is_line) in enumerate(_items(file), 1):
            where = f"{'line' if is_line else 'item'} {number}"
            _take(found, start, item, where)
        file.seek(-1 if found.fingerprint[2] else 0, os.SEEK_END)
        is_cut = _is_cut(item, file.read(1))
    if not found.ids and (found.not_events or not found.fingerprint[2]):
        raise ClientError(f"{path} holds no event: give an export, one event a line or a JSON array")
    if is_cut and found.not_events and found.not_events[-1].where == where:
        found.not_events.pop()
        found = msgspec.structs.replace(found, ends_within=where)
    return _sorted(found)


def read_event(raw: bytes) -> Event | None:
    """The event, also if its payload holds half a character, as 0.1.0 let through; None when it is none."""
    try:
        return _event.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        fields = _fields(raw)
        return None if fields is None else Event(**fields)


def as_served(raw: bytes) -> bytes | None:
    """The event in the form that our daemon serves; None when it is none.

    0.1.0 wrote its keys in another order. Bytes that are in our form, as their hash proves, are taken as they are.
    """
    try:
        canonical = canonical_event(raw)
    except ValueError:
        pass
    else:
        if hash_of(canonical).encode("ascii") == raw[-66:-2]:
            return raw
    fields = _fields(raw)
    if fields is None:
        return None
    return with_claimed_hash(canonical_bytes(fields), fields["hash"])


def _is_cut(item: bytes, last_byte: bytes) -> bool:
    """Whether the last item of a file is the beginning of one, as of a download that broke off."""
    if not item.startswith(b"{") or (last_byte == b"\n" and item != _UNFINISHED):
        return False
    try:
        msgspec.json.decode(item)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return True
    except RecursionError:
        return False
    return False


def _take(found: ExportFile, start: int, item: bytes, where: str) -> None:
    series = _series_of(item)
    if series is None or series[0] < 1:
        why = "" if series is None else f"{series[0]} is no event id"
        if len(found.not_events) < _MAX_NOTED:
            found.not_events.append(NotAnEvent(where, found.ids[-1] if found.ids else 0, why))
        return
    event_id, kind, source = series
    found.ids.append(event_id)
    found.starts.append(start)
    found.lengths.append(len(item))
    found.by_kind[kind] += 1
    found.by_source[source] += 1


def _series_of(item: bytes) -> tuple[int, str, str] | None:
    try:
        series = _series.decode(item)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        fields = _fields(item)
        return None if fields is None else (fields["event_id"], fields["kind"], fields["source"])
    if memoryview(series.payload)[0] != ord("{") or not -(2**63) <= series.event_id < 2**63:
        return None
    return series.event_id, series.kind, series.source


def _fields(raw: bytes) -> dict[str, Any] | None:
    """The fields as Python's `json` understands them, which 0.1.0 hashed; None when they are not an event's."""
    try:
        fields: dict[str, Any] = json.loads(raw)
        if not is_event(fields) or not -(2**63) <= fields["event_id"] < 2**63:
            return None
        canonical_bytes(fields)
        f"{fields['kind']}{fields['source']}{fields['timestamp']}".encode()
    except (ValueError, RecursionError):
        return None
    return fields


def _sorted(found: ExportFile) -> ExportFile:
    ids = found.ids
    if all(ids[i] < ids[i + 1] for i in range(len(ids) - 1)):
        return found
    order = sorted(range(len(ids)), key=ids.__getitem__)
    return msgspec.structs.replace(
        found,
        ids=array("q", map(ids.__getitem__, order)),
        starts=array("Q", map(found.starts.__getitem__, order)),
        lengths=array("I", map(found.lengths.__getitem__, order)),
    )


def _items(file: BinaryIO) -> Iterator[tuple[int, bytes, bool]]:
    """The place and bytes of every item, and whether items stand in lines of their own."""
    start = 3 if file.read(3) == b"\xef\xbb\xbf" else 0
    file.seek(start)
    first = file.readline(_MAX_LINE)
    file.seek(start)
    text = first.strip()
    if text.startswith(b"[") and text != b"[]" and _series_of(_trimmed(first)[1]) is None:
        yield from _array_items(file, start)
    else:
        yield from _line_items(file, start)


def _line_items(file: BinaryIO, start: int) -> Iterator[tuple[int, bytes, bool]]:
    """Lines, also those of an array that has one event a line."""
    text = last = b""
    while line := file.readline(_MAX_LINE):
        skipped, item = _trimmed(line)
        if item or line.strip() not in (b"", b"[", b"]", b"[]", b","):
            yield start + skipped, item, True
        start += len(line)
        text = text or line.strip()[:1]
        last = line.strip()[-1:] or last
    if text == b"[" and last != b"]":
        yield start, _UNFINISHED, True


def _trimmed(line: bytes) -> tuple[int, bytes]:
    """How many bytes stand before the object in a line, and the object; brackets and commas of an array are none."""
    item = line.rstrip()
    bare = item.lstrip(b"[ \t\r\n")
    skipped = len(item) - len(bare)
    return skipped, bare.rstrip(b"],") if bare.endswith((b"]", b",")) else bare


def _array_items(file: BinaryIO, start: int) -> Iterator[tuple[int, bytes, bool]]:
    """The items of an array that is not written in lines: all of it is read."""
    text = file.read()
    rest = b""
    try:
        items = msgspec.json.decode(text, type=list[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        items, rest = _before_the_cut(text)
        if not items:
            raise ClientError(f"{file.name} is no JSON array of events: {error}") from None
    at = text.index(b"[") + 1
    for item in items:
        raw = bytes(item)
        at = text.index(raw[:1], at)
        yield start + at, raw, False
        at += len(raw)
    if rest:
        yield start + at, rest, False


def _before_the_cut(text: bytes) -> tuple[list[msgspec.Raw], bytes]:
    """The items of an array that breaks off, and the beginning of the next; ([], b"") when it is none."""
    end = len(text)
    for _ in range(_MAX_CUTS_TRIED):
        end = text.rfind(b'"}', 0, end)
        if end < 0:
            break
        rest = text[end + 2 :].strip()
        if rest[:1] not in (b"", b",") or rest[1:].lstrip()[:1] not in (b"", b"{"):
            continue
        try:
            items = msgspec.json.decode(text[: end + 2] + b"]", type=list[msgspec.Raw])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        return items, rest[1:].lstrip() or _UNFINISHED
    return [], b""
