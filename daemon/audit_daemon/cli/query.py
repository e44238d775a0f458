"""`audit-stream query`: events of the past."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from audit_daemon.cli.lines import print_event
from audit_daemon.cli.options import Json, Kinds, Since, Sources, Until, Url, Words, known_kinds, selection
from audit_daemon.cli.refusals import refusals
from audit_daemon.cli.terminal import note
from audit_stream.client import DEFAULT_URL, Client
from audit_stream.wire import MAX_PAGE_EVENTS

__all__ = ["query"]


async def query(
    *words: Words,
    url: Url = DEFAULT_URL,
    kind: Kinds = None,
    source: Sources = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[
        int, Parameter(help="How many events, the most recent ones.", validator=Number(gte=1, lte=MAX_PAGE_EVENTS))
    ] = 100,
    order: Annotated[Literal["asc", "desc"], Parameter(help="asc: oldest first, desc: newest first.")] = "asc",
    json: Json = False,
) -> int:
    """Read the most recent events that fit. For the whole log, see `audit-stream export`.

    ```
    audit-stream query --limit 20
    audit-stream query --kind request_denied --since 2h
    audit-stream query 'severity:>=warning' 'payload.burn_rate:>2' '-source:staging-*' --order desc
    audit-stream query --json --since 2026-05-15T00:00:00Z --until 2026-05-16T00:00:00Z | jq .payload
    ```
    """
    wanted = selection(words, kind, source, since, until)
    kinds = known_kinds()
    found = False
    with refusals(words, kind, since, until):
        async with Client(url) as client:
            async for event in client.events(wanted, limit=limit, newest_first=order == "desc"):
                print_event(event, kinds, json=json)
                found = True
    if not found:
        note("no event matches")
    return 0
