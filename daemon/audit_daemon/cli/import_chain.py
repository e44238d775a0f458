"""`audit-stream import`: a new database of an exported chain, above all of audit-stream 0.1.0."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from audit_daemon.cli.errors import FINDING, CommandError, store_errors
from audit_daemon.cli.exports import ExportError, verified
from audit_daemon.cli.options import Json, database_path
from audit_daemon.cli.terminal import progress, write, write_line
from audit_stream.chain import Head
from audit_stream.errors import ChainError

__all__ = ["import_chain"]


def import_chain(
    file: Annotated[Path, Parameter(help="The export: a JSON array of events, or one event a line.")],
    /,
    *,
    db: Annotated[
        Path | None, Parameter(help="The database to make; it must not hold events. Default: that of the settings.")
    ] = None,
    json: Json = False,
) -> int:
    """Make a new database of a chain that audit-stream 0.1.0, or `audit-stream export`, has exported.

    Ids, timestamps and hashes stay what they are. The whole chain is verified before anything is written: a broken one
    ends the command with 1 and leaves nothing. Fetch all events of a 0.1.0 daemon with a limit of at least their count.

    ```
    curl -s 'http://127.0.0.1:8093/events?limit=100000' > chain.json
    audit-stream import chain.json --db /var/lib/audit-stream/audit.db
    ```
    """
    path = database_path(db)
    try:
        with store_errors():
            head = _import(file.expanduser(), path)
    except ExportError as error:
        raise CommandError(f"{file}: {error}; nothing was imported") from None
    except ChainError as error:
        hint = " (an export with a filter is not a whole chain)" if error.reason.startswith("event_id should") else ""
        raise CommandError(
            f"BROKEN at #{error.event_id}: {error.reason}{hint}; nothing was imported", FINDING
        ) from None
    if json:
        write(msgspec.json.encode({"count": head.event_id, "head": head, "db": str(path)}) + b"\n")
    else:
        events = "1 event" if head.event_id == 1 else f"{head.event_id:,} events"
        write_line(f"imported {events}, head #{head.event_id} {head.hash}")
    return 0


def _import(file: Path, path: Path) -> Head:
    from audit_daemon.store.bulk import write_chain
    from audit_daemon.store.protocol import StoreLocked

    size_bytes = file.stat().st_size
    with file.open("rb") as export, progress("verifying") as show:
        for _ in verified(export, on_progress=lambda position: show(position, size_bytes)):
            pass
    with file.open("rb") as export, progress("writing") as show:
        try:
            return write_chain(path, verified(export, on_progress=lambda position: show(position, size_bytes)))
        except StoreLocked as error:
            process = re.search(r"\(process \w+\) ", str(error))
            raise CommandError(
                f"a daemon {process[0] if process else ''}is running on {path}: "
                "stop it first, or import into another file with --db"
            ) from None
