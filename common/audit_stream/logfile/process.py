"""The verifying process: `python -m audit_stream.logfile.process DB [ID HASH]`.

Prints JSON lines: `{"started":true}` right before the first byte is read, then the report or `{"error": "…"}`.
It runs at the lowest priority, so that appends keep their processor.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import sys
from pathlib import Path

import msgspec

from audit_stream.chain import Head
from audit_stream.logfile.errors import StoreUnusable
from audit_stream.logfile.walk import walk

_NICENESS = 19


def main(arguments: list[str]) -> int:
    """Walk the file and print the verdict; 0 when there is one, 2 when the file could not be checked."""
    path = Path(arguments[0])
    acknowledged = Head(int(arguments[1]), arguments[2]) if len(arguments) > 1 else None
    _give_way()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # or the workers would outlive us
    _print({"started": True})
    try:
        report = walk(path, acknowledged=acknowledged)
    except (StoreUnusable, sqlite3.Error) as error:
        _print({"error": str(error)})
        return 2
    _print(report)
    return 0


def _give_way() -> None:
    """Run only when nothing else wants the processor, so that an append is never kept waiting by a walk."""
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)
    if hasattr(os, "SCHED_IDLE"):  # Linux: preempted at once by whatever wakes up, which a nice process is not
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _print(message: object) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(message) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
