"""What can be asked of a log, and how a page of it is laid out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from string import Formatter

import msgspec

from audit_stream.filters import Filter

__all__ = ["EVERYTHING", "Criteria", "EventQuery", "Page", "PageFormat"]


class Criteria(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """What an event must be like, wherever it stands in the log. None admits all; times are inclusive bounds."""

    kinds: frozenset[str] | None = None
    sources: frozenset[str] | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    filter: Filter | None = None

    @property
    def scans(self) -> bool:
        """Whether events must be looked at one by one to find those that fit."""
        return any(bound is not None for bound in (self.filter, self.since_ms, self.until_ms))


EVERYTHING = Criteria()


class EventQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which events to read; ids are inclusive bounds.

    `forward` reads from the oldest that fits, otherwise from the newest; `limit` cuts what is read, and
    `newest_first` orders what is answered.
    """

    criteria: Criteria = EVERYTHING
    min_id: int = 1
    max_id: int | None = None
    limit: int = 1000
    forward: bool = False
    newest_first: bool = False


class PageFormat(msgspec.Struct, frozen=True, cache_hash=True):
    """How a page is written, so that a store can do it where its rows are.

    `text` is one event's, with `{kind}`, `{event_id}` and `{event}`, the event as it is served; `between` stands
    between two events.
    """

    text: str
    between: str = ""

    def render(self, *, kind: str, event_id: int, event: bytes) -> bytes:
        """One event's text; what a store reads in this format is these bytes."""
        one_line = kind.replace("\n", " ").replace("\r", " ")  # an imported one must not begin a line of its own
        return _template(self) % {b"kind": one_line.encode(), b"event_id": b"%d" % event_id, b"event": event}


@lru_cache
def _template(page_format: PageFormat) -> bytes:
    """The text for bytes' own formatting, which takes a third of the time of str.format and its conversions."""
    return b"".join(
        literal.replace("%", "%%").encode() + (b"" if field is None else b"%%(%b)b" % field.encode())
        for literal, field, _, _ in Formatter().parse(page_format.text)
    )


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """The ids that a query found, in the order of the answer, and whether more events fit, or may fit, beyond them.

    `reached` is the id up to which the log has been dealt with in the direction of reading: what comes next lies
    beyond it.
    """

    ids: Sequence[int]
    more: bool
    reached: int
