"""Reading an exported chain: the JSON array of `GET /events` or one JSON object a line, event by event.

A file of any size is read in pieces. Numbers, duplicate keys and escapes are understood as Python's `json` does,
because audit-stream 0.1.0 hashed what that understood.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from audit_stream.chain import verify_export

__all__ = ["ExportError", "verified"]

_PIECE_BYTES = 1 << 20
_MAX_EVENT = 64 << 20
"""Characters; audit-stream 0.1.0 had no limit, but what is longer than this is no event."""

_FIELDS: dict[str, type] = {
    "event_id": int,
    "timestamp": str,
    "kind": str,
    "source": str,
    "payload": dict,
    "prev_hash": str,
    "hash": str,
}


class ExportError(Exception):
    """The file is no export; the text says where it stops being one."""


def verified(
    file: BinaryIO, *, on_progress: Callable[[int], None] = lambda position: None
) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Each event's canonical bytes and fields, checked from event 1 on.

    `on_progress` gets the position in the file. Raises ExportError, or ChainError at the first event that does not
    hold.
    """
    try:
        for item in verify_export(_events(file)):
            on_progress(file.tell())
            yield item
    except UnicodeDecodeError as error:
        raise ExportError(f"the file is not UTF-8: {error.reason}") from None
    except (ValueError, RecursionError):
        raise ExportError("an event holds a number or a depth that has no canonical form") from None


def _events(file: BinaryIO) -> Iterator[dict[str, Any]]:
    for number, fields in enumerate(_objects(file), 1):
        if set(fields) != set(_FIELDS) or any(type(fields[name]) is not type_ for name, type_ in _FIELDS.items()):
            raise ExportError(f"item {number} is no event as GET /events gives it: {', '.join(_FIELDS)}")
        try:
            f"{fields['kind']}{fields['source']}".encode()
        except UnicodeEncodeError:
            raise ExportError(f"item {number} has half a character in its kind or source") from None
        yield fields


def _objects(file: BinaryIO) -> Iterator[dict[str, Any]]:
    text = _Text(file)
    is_array = text.skip("[")
    number = 0
    while True:
        if is_array and text.skip("]"):
            if text.peek():
                raise ExportError("something follows the end of the array")
            return
        if is_array and number and not text.skip(","):
            raise ExportError(f"there is no comma or end of the array after item {number}")
        if not is_array and not text.peek():
            return
        number += 1
        yield text.object(number)


class _Text:
    """A text file's content from a place on, as far as it has been needed."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._utf8 = codecs.getincrementaldecoder("utf-8-sig")()
        self._buffer = ""
        self._at = 0
        self._decoder = json.JSONDecoder(parse_constant=_no_constant)

    def peek(self) -> str:
        """The next character that is no white space; "" at the end."""
        while True:
            while self._at < len(self._buffer):
                char = self._buffer[self._at]
                if char not in " \t\r\n":
                    return char
                self._at += 1
            if not self._more():
                return ""

    def skip(self, char: str) -> bool:
        """Step over `char` if it is next."""
        found = self.peek() == char
        self._at += found
        return found

    def object(self, number: int) -> dict[str, Any]:
        """The next JSON object, `number` in the file."""
        if self.peek() != "{":
            raise ExportError(f"item {number} is no JSON object")
        while True:
            try:
                value, self._at = self._decoder.raw_decode(self._buffer, self._at)
            except json.JSONDecodeError as error:
                if len(self._buffer) - self._at > _MAX_EVENT or not self._more():
                    raise ExportError(f"item {number} is no valid JSON: {error.msg}") from None
            except (ValueError, RecursionError) as error:
                raise ExportError(f"item {number} cannot be read: {error}") from None
            else:
                assert isinstance(value, dict)  # it starts with {
                return value

    def _more(self) -> bool:
        """Read on; twice as much each time that an item is not complete yet, so that no item is read often."""
        left = self._buffer[self._at :]
        piece = self._file.read(max(_PIECE_BYTES, len(left)))
        self._buffer, self._at = left + self._utf8.decode(piece, final=not piece), 0
        return bool(piece)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
