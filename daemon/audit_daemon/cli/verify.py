"""`audit-stream verify`: a verdict on a whole chain."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from audit_daemon.cli.errors import FINDING, OK, CommandError, store_errors
from audit_daemon.cli.options import Db, Json, database_path
from audit_daemon.cli.terminal import bold, note, progress, write, write_line
from audit_stream.chain import Verdict
from audit_stream.client import Client
from audit_stream.display import safe
from audit_stream.logfile.verification import verify_file
from audit_stream.wire import URL_VARIABLE

__all__ = ["verify"]


def verify(
    *,
    db: Db = None,
    url: Annotated[str | None, Parameter(help="Ask the daemon at this address instead of reading a file.")] = None,
    json: Json = False,
) -> int:
    """Check every event of the chain: its number, its link, its hash, and the columns beside its bytes.

    Reads the file itself, without a daemon or beside one that runs. Exits with 0 when the chain is intact, 1 when it
    is broken, 2 when it could not be checked.

    ```
    audit-stream verify
    audit-stream verify --db /var/lib/audit-stream/audit.db --json
    audit-stream verify --url http://127.0.0.1:8093
    ```
    """
    if url is not None and db is not None:
        raise CommandError("give --db to read a file or --url to ask a daemon, not both")
    if url is None and db is None and os.environ.get(URL_VARIABLE):
        note(f"this reads the file of the settings, not the daemon of {URL_VARIABLE}: give --url to ask that one")
    if url is None:
        path = database_path(db)
        verdict, where = _verify_here(path), f"in {_short(path)}"
    else:
        verdict, where = _ask(url)
    if json:
        write(msgspec.json.encode(verdict) + b"\n")
    else:
        write_line(_sentence(verdict, safe(where)))
    return OK if verdict.valid else FINDING


def _verify_here(path: Path) -> Verdict:
    with store_errors(), progress("verifying") as show:
        return verify_file(path, on_progress=show)


def _ask(url: str) -> tuple[Verdict, str]:
    async def ask() -> tuple[Verdict, str]:
        async with Client(url) as client:
            return await client.verify(), f"at {client.url}"

    return asyncio.run(ask())


def _short(path: Path) -> str:
    """The path as people write it, with ~ for their home directory."""
    path = path.absolute()
    try:
        return f"~/{path.relative_to(Path.home())}"
    except (ValueError, RuntimeError):  # elsewhere; or nobody knows the home directory
        return str(path)


def _sentence(verdict: Verdict, where: str) -> str:
    checked, head = verdict.checked, verdict.head
    if not verdict.valid:
        reason = verdict.reason or "it does not say why"
        return (
            f"{bold('BROKEN', '1;31')} at #{verdict.first_break_at} {where}: {safe(reason)}{_holding(checked, reason)}"
        )
    if checked == 0:
        return f"{bold('intact', '32')}: the log {where} is empty"
    at = f", head #{head.event_id} {safe(head.hash)}" if head is not None else ""
    return f"{bold('intact', '32')}: {checked:,} event{'s' if checked > 1 else ''} {where}{at}"


def _holding(checked: int, reason: str) -> str:
    if "rewritten at or before it" in reason:  # those before it are a chain, but perhaps not the one that it was
        return ""
    holding = {0: "no event before it holds", 1: "the event before it holds"}
    return f" ({holding.get(checked, f'{checked:,} events before it hold')})"
