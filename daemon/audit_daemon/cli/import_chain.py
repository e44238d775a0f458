"""`audit-stream import`: a new database of an exported chain, above all of audit-stream 0.1.0."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from audit_daemon.cli.errors import FINDING, CommandError, store_errors
from audit_daemon.cli.exports import Chain, Doubtful, UnreadableExport
from audit_daemon.cli.options import Json, database_path
from audit_daemon.cli.terminal import note, progress, write, write_line
from audit_daemon.settings import make_default_directory
from audit_stream.chain import Head
from audit_stream.display import counted
from audit_stream.errors import ChainError
from audit_stream.paths import typed_path

__all__ = ["import_chain"]

_MAX_NOTES = 20
_HELP = "docs/commands.md says what to do, under `audit-stream import`"


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
    ends the command with 1 and leaves nothing. Where 0.1.0 served `null` for NaN or an infinity, or U+FFFD for half a
    character, the hash tells what it was: it is restored, and said.

    ```
    curl -sf 'http://127.0.0.1:8093/events?limit=100000' > chain.json
    audit-stream import chain.json --db /var/lib/audit-stream/audit.db
    ```
    """
    path = database_path(db)
    chain = Chain()
    try:
        with store_errors():
            make_default_directory(path)
            head = _import(typed_path(file), path, chain)
    except UnreadableExport as error:
        raise CommandError(f"{file}: {error}; nothing was imported") from None
    except ChainError as error:
        raise CommandError(f"{_what_breaks(error)}; nothing was imported", FINDING) from None
    except Doubtful as error:
        for event_id, why in error.events.items():
            note(f"event {event_id} does not hash to what it says: {why}")
        raise CommandError(
            f"nothing was imported: {counted(len(error.events), 'event')}{' or more' if error.more else ''} "
            f"cannot be restored; {_HELP}",
            FINDING,
        ) from None
    _say_restored(chain)
    if json:
        restored = [
            {"event_id": event_id, **change._asdict()}
            for event_id, changes in chain.changes.items()
            for change in changes
        ]
        write(
            msgspec.json.encode({"count": head.event_id, "head": head, "db": str(path), "restored": restored}) + b"\n"
        )
    else:
        write_line(f"imported {counted(head.event_id, 'event')}, head #{head.event_id} {head.hash}")
    return 0


def _say_restored(chain: Chain) -> None:
    for event_id, changes in islice(chain.changes.items(), _MAX_NOTES):
        what = (f"{hashed} at {path}, which 0.1.0 served as {served}" for path, hashed, served in changes)
        note(f"event {event_id}: restored {'; '.join(what)}")
    rest = len(chain.changes) - _MAX_NOTES
    if rest > 0:
        note(f"and so in {counted(rest, 'event')} more; --json lists all")


def _what_breaks(error: ChainError) -> str:
    skipped = re.fullmatch(r"event_id should be (\d+), got (\d+)", error.reason, re.ASCII)
    if skipped is None or int(skipped[2]) < int(skipped[1]):
        return f"BROKEN at #{error.event_id}: {error.reason}"
    return (
        f"event {skipped[1]} is not where it should be in the file, where event {skipped[2]} follows: an export with a "
        f"filter is not a whole chain, and some events 0.1.0 cannot serve; {_HELP}"
    )


def _import(file: Path, path: Path, chain: Chain) -> Head:
    from audit_daemon.store.bulk import write_chain
    from audit_daemon.store.protocol import StoreLocked

    size_bytes = file.stat().st_size
    with file.open("rb") as export, progress("verifying") as show:
        for _ in chain.verified(export, on_progress=lambda position: show(position, size_bytes)):
            pass
    with file.open("rb") as export, progress("writing") as show:
        try:
            return write_chain(path, chain.verified(export, on_progress=lambda position: show(position, size_bytes)))
        except StoreLocked as error:
            process = re.search(r"\(process \w+\) ", str(error))
            raise CommandError(
                f"a daemon {process[0] if process else ''}is running on {path}: "
                "stop it first, or import into another file with --db"
            ) from None
