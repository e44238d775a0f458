"""Single events from a log, held against what was asked for."""

from __future__ import annotations

import contextlib

from audit_stream.client import Selection
from audit_stream.errors import ClientError
from audit_stream.kinds import KindRegistry
from audit_tui.log import Log
from audit_tui.model.rows import Row, read_row

__all__ = ["event_before", "neighbour"]


async def event_before(log: Log, row: Row, kinds: KindRegistry) -> Row | None:
    """The event with the id right before, None when there is none. Raises ClientError, also for another event."""
    wanted = row.event_id - 1
    served = await log.event(wanted)
    if served is None:
        return None
    before = read_row(served, kinds)
    if before.event_id != wanted:
        raise ClientError(f"#{wanted} was asked for, and #{before.event_id} came")
    return before


async def neighbour(log: Log, row: Row, kinds: KindRegistry, *, q: str, direction: int) -> Row | None:
    """The next event (1) that passes the filter, or the previous one (-1); None when there is none.

    Raises ClientError, also for an event on the wrong side.
    """
    if direction > 0:
        found = log.events(Selection(q=q), since_id=row.event_id, limit=1)
    else:
        found = log.events(Selection(q=q), before_id=row.event_id, limit=1, newest_first=True)
    async with contextlib.aclosing(found):
        async for served in found:
            other = read_row(served, kinds)
            if (other.event_id - row.event_id) * direction <= 0:
                raise ClientError(f"a neighbour of #{row.event_id} was asked for, and #{other.event_id} came")
            return other
    return None
