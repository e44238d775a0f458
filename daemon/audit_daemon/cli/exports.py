"""Reading an exported chain: the JSON array of `GET /events` or one JSON object a line, event by event.

A file of any size is read in pieces. Numbers, duplicate keys and escapes are understood as Python's `json` does,
because audit-stream 0.1.0 hashed what that understood.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from audit_stream.errors import AuditStreamError, ChainError
from audit_stream.exports import EVENT_FIELDS, is_event, verify_export
from audit_stream.restoring import Change, Restorer

__all__ = ["Chain", "Doubtful", "UnreadableExport"]

_PIECE_BYTES = 1 << 20
_MAX_EVENT = 64 << 20
"""Characters; audit-stream 0.1.0 had no limit, but what is longer than this is no event."""

_MAX_SHOWN = 200
_FETCH_AGAIN = "fetch it again, with curl -sf"

_MAX_DOUBTS = 10
"""Events that are named; to look for what each may have held takes up to a second."""


class UnreadableExport(AuditStreamError):
    """The file is no export; the text says where it stops being one."""


class Doubtful(AuditStreamError):
    """Events whose bytes cannot be told, each with why; `more` says that there may be more of them.

    They link to their neighbours, so that it is not said that anybody broke the chain.
    """

    def __init__(self, events: dict[int, str], *, more: bool) -> None:
        super().__init__(events)
        self.events = events
        self.more = more


class Chain:
    """An exported chain, read as often as wanted. `changes` are what 0.1.0 had served otherwise, by event id."""

    def __init__(self) -> None:
        self._restorer = Restorer()
        self.changes: dict[int, tuple[Change, ...]] = {}

    def verified(
        self, file: BinaryIO, *, on_progress: Callable[[int], None] = lambda position: None
    ) -> Iterator[tuple[bytes, dict[str, Any]]]:
        """Each event's canonical bytes and fields, checked from event 1 on.

        `on_progress` gets the position in the file. Raises UnreadableExport, ChainError at the first event that does
        not follow the one before, or, in the end, Doubtful.
        """
        doubts: dict[int, str] = {}

        def hashed(fields: dict[str, Any]) -> bytes:
            restored = self._restorer.restore(fields)
            if restored is None:
                doubts[fields["event_id"]] = self._restorer.doubt(fields)
                if len(doubts) == _MAX_DOUBTS:
                    raise Doubtful(doubts, more=True)
                return b""
            if restored.changes:
                self.changes[fields["event_id"]] = restored.changes
            return restored.canonical

        try:
            for item in verify_export(_events(file), hashed=hashed):
                on_progress(file.tell())
                if not doubts:
                    yield item
        except ChainError:
            if doubts:  # which come before
                raise Doubtful(doubts, more=True) from None
            raise
        except UnicodeDecodeError as error:
            raise UnreadableExport(f"the file is not UTF-8: {error.reason}") from None
        except (ValueError, RecursionError):
            raise UnreadableExport("an event holds a number or a depth that has no canonical form") from None
        if doubts:
            raise Doubtful(doubts, more=False)


def _events(file: BinaryIO) -> Iterator[dict[str, Any]]:
    for number, fields in enumerate(_objects(file), 1):
        if number == 1 and "event_id" not in fields and "detail" in fields:
            raise UnreadableExport(f"it is an error that a daemon answered: {str(fields['detail'])[:_MAX_SHOWN]}")
        if not is_event(fields):
            raise UnreadableExport(f"item {number} is no event as GET /events gives it: {', '.join(EVENT_FIELDS)}")
        try:
            f"{fields['kind']}{fields['source']}".encode()
        except UnicodeEncodeError:
            raise UnreadableExport(f"item {number} has half a character in its kind or source") from None
        yield fields


def _objects(file: BinaryIO) -> Iterator[dict[str, Any]]:
    text = _Text(file)
    is_array = text.skip("[")
    if not is_array and text.peek() not in ("{", ""):
        raise UnreadableExport(f"it begins with {text.start()!r}, as an error page does and no export: {_FETCH_AGAIN}")
    number = 0
    while True:
        if is_array and text.skip("]"):
            if text.peek():
                raise UnreadableExport("something follows the end of the array")
            return
        if is_array and number and not text.skip(","):
            if not text.peek():
                raise UnreadableExport(f"it ends after item {number}, before the end of the array: {_FETCH_AGAIN}")
            raise UnreadableExport(f"there is no comma or end of the array after item {number}")
        if not is_array and not text.peek():
            if number == 0:
                raise UnreadableExport(f"it is empty: {_FETCH_AGAIN}")
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
        self._decoder = json.JSONDecoder()  # NaN and infinities too: an event's hash says whether they belong there

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

    def start(self) -> str:
        """The first line from here on, as far as it is worth showing."""
        return self._buffer[self._at : self._at + _MAX_SHOWN].strip().partition("\n")[0]

    def skip(self, char: str) -> bool:
        """Step over `char` if it is next."""
        found = self.peek() == char
        self._at += found
        return found

    def object(self, number: int) -> dict[str, Any]:
        """The next JSON object, `number` in the file."""
        first = self.peek()
        if first != "{":
            raise UnreadableExport(
                f"item {number} is no JSON object" if first else f"it ends before item {number}: {_FETCH_AGAIN}"
            )
        while True:
            try:
                value, self._at = self._decoder.raw_decode(self._buffer, self._at)
            except json.JSONDecodeError as error:
                if len(self._buffer) - self._at > _MAX_EVENT:
                    raise UnreadableExport(f"item {number} is no valid JSON: {error.msg}") from None
                if not self._more():
                    raise UnreadableExport(
                        f"item {number} is no valid JSON ({error.msg}), or not whole: {_FETCH_AGAIN}"
                    ) from None
            except (ValueError, RecursionError) as error:
                raise UnreadableExport(f"item {number} cannot be read: {error}") from None
            else:
                assert isinstance(value, dict)  # it starts with {
                return value

    def _more(self) -> bool:
        """Read on; twice as much each time that an item is not complete yet, so that no item is read often."""
        left = self._buffer[self._at :]
        piece = self._file.read(max(_PIECE_BYTES, len(left)))
        self._buffer, self._at = left + self._utf8.decode(piece, final=not piece), 0
        return bool(piece)
