"""`audit-stream tail`: the log, live."""

from __future__ import annotations

import contextlib
import sys
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from audit_daemon.cli.errors import CommandError
from audit_daemon.cli.lines import print_event
from audit_daemon.cli.options import Json, Kinds, Sources, Url, Words, known_kinds, selection
from audit_daemon.cli.refusals import refusals
from audit_daemon.cli.terminal import note
from audit_stream.client import DEFAULT_URL, Client, Live, Lost, OtherHistory, RawEvent, Selection
from audit_stream.kinds import KindRegistry
from audit_stream.wire import MAX_PAGE_EVENTS

__all__ = ["tail"]


async def tail(
    *words: Words,
    url: Url = DEFAULT_URL,
    kind: Kinds = None,
    source: Sources = None,
    since_id: Annotated[
        int | None, Parameter(help="Start right after this event.", validator=Number(gte=0, lte=2**63 - 1))
    ] = None,
    last: Annotated[
        int, Parameter(help="Show this many events of the past first.", validator=Number(gte=0, lte=MAX_PAGE_EVENTS))
    ] = 0,
    json: Json = False,
) -> int:
    """Follow the log: one line an event, as soon as it is committed, until Ctrl-C.

    When the connection breaks it says so on stderr, comes back by itself and goes on where it was: no event is
    missed or shown twice.

    ```
    audit-stream tail
    audit-stream tail --last 20 'severity:>=warning'
    audit-stream tail --kind request_denied 'source:policy-*' payload.matched_rule_id:dpa-required
    audit-stream tail --since-id 0 --json > events.ndjson
    ```
    """
    if last and since_id is not None:
        raise CommandError("give --last or --since-id, not both")
    wanted = selection(words, kind, source)
    kinds = known_kinds()
    with refusals(words, kind):
        async with Client(url) as client:
            if last:
                since_id = (await client.stats()).head.event_id
                async for event in client.events(wanted, limit=last, before_id=since_id + 1):
                    print_event(event, kinds, json=json)
                sys.stdout.flush()
            await _follow(client, wanted, since_id, kinds, json=json)
    return 0


async def _follow(client: Client, wanted: Selection, since_id: int | None, kinds: KindRegistry, *, json: bool) -> None:
    was_live = lost = False
    async with contextlib.aclosing(client.tail(wanted, since_id=since_id)) as items:
        async for item in items:
            match item:
                case RawEvent():
                    print_event(item, kinds, json=json)
                    sys.stdout.flush()
                case Lost():
                    if not was_live:
                        raise CommandError(item.reason)
                    if not lost:
                        note(f"{item.reason}; trying again")
                    lost = True
                case Live():
                    if lost:
                        note(f"connected again, going on after event #{item.after_id}")
                    elif not was_live and sys.stderr.isatty():
                        note(f"following {client.url} after event #{item.after_id}; Ctrl-C ends it")
                    was_live, lost = True, False
                case OtherHistory():
                    note(
                        f"the daemon's log is another one now: it ends at #{item.head.event_id} and does not hold "
                        f"event #{item.seen.event_id} as it was seen here"
                    )
