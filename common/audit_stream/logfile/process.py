"""The verifying process: `python -I -m audit_stream.logfile.process DB NONCE ID HASH`, with a head that must be there.

Prints JSON lines: `{"started":true}` right before the first byte is read, then at most every second that it gets on,
`{"checked":N,"total":M}`, then an `Answer` (`asking.py`), which repeats the arguments.
It gives way to everything else, so that appends keep their processor; see `giving_way.py`.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import time
from functools import partial
from pathlib import Path

import msgspec

from audit_stream.chain import Head
from audit_stream.logfile.asking import Answer, shown
from audit_stream.logfile.errors import StoreUnusable
from audit_stream.logfile.forked import adopt_orphans, die_with_parent
from audit_stream.logfile.giving_way import Tell, giving_way
from audit_stream.logfile.opening import size_bytes
from audit_stream.logfile.verification import verify_file

_PATIENCE_S = 0.5
_SLOW_BYTES_PER_S = 30_000_000
"""A tenth of what a verification reads in a second on two processors of its own (324 MB)."""

_TELL_EVERY_S = 1.0


def main(arguments: list[str]) -> int:
    """Verify the file and print the answer; 0 when there is a verdict, 2 when the file could not be checked."""
    path, _, head_id, head_hash = arguments
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C in the daemon's terminal: without a traceback
    die_with_parent(os.getppid())
    adopt_orphans()
    _print(msgspec.json.encode({"started": True}))
    verify = partial(_verify, Path(path), Head(int(head_id), head_hash))
    answer = msgspec.json.decode(giving_way(verify, _print, patience_s=_patience_s(Path(path))), type=Answer)
    _print(msgspec.json.encode(msgspec.structs.replace(answer, asked=shown(arguments))))
    return 2 if answer.verdict is None else 0


def _verify(path: Path, acknowledged: Head, tell: Tell) -> bytes:
    told = 0.0

    def on_progress(checked: int, total: int) -> None:
        nonlocal told
        now = time.monotonic()
        if now >= told + _TELL_EVERY_S:
            told = now
            tell(b'{"checked":%d,"total":%d}' % (checked, total))

    try:
        answer = Answer(asked=[], verdict=verify_file(path, acknowledged=acknowledged, on_progress=on_progress))
    except (StoreUnusable, sqlite3.Error) as error:
        answer = Answer(asked=[], error=shown([str(error)])[0])
    return msgspec.json.encode(answer)


def _patience_s(path: Path) -> float:
    return _PATIENCE_S + size_bytes(path) / _SLOW_BYTES_PER_S


def _print(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
