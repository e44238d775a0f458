"""What the console reads from."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from audit_stream.chain import Verdict
from audit_stream.client import EVERYTHING, RawEvent, Selection, Stats, Tailed

__all__ = ["Log", "is_address"]


def is_address(url: str) -> bool:
    """Whether a log's `url` is a daemon's address, which others can ask too; otherwise it is a file's path."""
    return url.startswith(("http://", "https://"))


class Log(Protocol):
    """A daemon, a database file or an export. `audit_stream.client.Client` is one; `offline` has the other two.

    Everything here raises ClientError and nothing else, and belongs to one event loop, which it never blocks.
    """

    @property
    def url(self) -> str:
        """What people call it: an address, or a path."""

    async def stats(self) -> Stats:
        """Size, head, counts and rates."""

    async def verify(self) -> Verdict:
        """A fresh verdict on the whole chain."""

    async def event(self, event_id: int, /) -> RawEvent | None:
        """One event, None when there is none of this id."""

    def events(
        self,
        selection: Selection = EVERYTHING,
        *,
        limit: int | None = None,
        since_id: int | None = None,
        before_id: int | None = None,
        newest_first: bool = False,
    ) -> AsyncGenerator[RawEvent]:
        """Events as `Client.events` gives them."""

    def tail(self, selection: Selection = EVERYTHING, *, since_id: int | None = None) -> AsyncGenerator[Tailed]:
        """Everything after event `since_id` for ever, as `Client.tail` gives it."""

    async def close(self) -> None:
        """Release what it holds."""
