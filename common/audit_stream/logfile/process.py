"""The verifying process: `python -m audit_stream.logfile.process DB [ID HASH]`.

Prints JSON lines: `{"started":true}` right before the first byte is read, then the report or `{"error": "…"}`.
It gives way to everything else, so that appends keep their processor; see `giving_way`.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec

from audit_stream.chain import Head
from audit_stream.logfile.errors import StoreUnusable
from audit_stream.logfile.forked import adopt_orphans, die_with_parent
from audit_stream.logfile.walk import walk

_ERROR = b'{"error"'

_NICENESS = 19
_HURRIED_NICENESS = 10
"""A tenth of a processor that another wants too: a walk over 10,000 events takes 0.4 s beside a loop a core."""

_PATIENCE_S = 0.5
_SLOW_BYTES_PER_S = 30_000_000
"""A tenth of what a walk reads in a second on two processors of its own (324 MB)."""


def main(arguments: list[str]) -> int:
    """Walk the file and print the verdict; 0 when there is one, 2 when the file could not be checked."""
    path = Path(arguments[0])
    acknowledged = Head(int(arguments[1]), arguments[2]) if len(arguments) > 1 else None
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C in the daemon's terminal: without a traceback
    adopt_orphans()
    _print(msgspec.json.encode({"started": True}))
    answer = giving_way(partial(_walk, path, acknowledged), patience_s=_patience_s(path))
    _print(answer)
    return 2 if answer.startswith(_ERROR) else 0


def giving_way(job: Callable[[], bytes], *, patience_s: float) -> bytes:
    """What the job returns. It runs only when nothing else wants the processor.

    When others want it all the time, such a job gets next to nothing of it (sched(7), SCHED_IDLE), and a verdict that
    never comes is worth less than a producer that waits a little. So after `patience_s` it is begun anew, with a low
    priority. A process of its own is ended for that: without privileges it could not raise its priority again.
    """
    if not hasattr(os, "SCHED_IDLE") or "fork" not in multiprocessing.get_all_start_methods():
        _be_nice(_NICENESS)
        return job()
    try:
        with _forked(job, _be_idle) as pipe:
            if pipe.poll(patience_s):
                return _received(pipe)
        with _forked(job, partial(_be_nice, _HURRIED_NICENESS)) as pipe:
            return _received(pipe)
    except OSError:  # no process left for another one
        _be_nice(_HURRIED_NICENESS)
        return job()


def _walk(path: Path, acknowledged: Head | None) -> bytes:
    try:
        return msgspec.json.encode(walk(path, acknowledged=acknowledged))
    except (StoreUnusable, sqlite3.Error) as error:
        return msgspec.json.encode({"error": str(error)})


def _patience_s(path: Path) -> float:
    size = 0
    for file in (path, path.with_name(f"{path.name}-wal")):
        with contextlib.suppress(OSError):
            size += file.stat().st_size
    return _PATIENCE_S + size / _SLOW_BYTES_PER_S


@contextlib.contextmanager
def _forked(job: Callable[[], bytes], give_way: Callable[[], None]) -> Iterator[Connection]:
    """The job in a process that has given way, and the pipe that it answers in; gone on exit, with its own workers."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(job, give_way, sender, os.getpid()))
    try:
        with sender:  # the process has its own
            process.start()
        assert process.pid is not None
        with contextlib.suppress(OSError):
            os.setpgid(process.pid, process.pid)
        yield receiver
    finally:
        if process.pid is not None:
            # Killed: a process that gets no processor would not come to handle any other signal.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            process.join()
            with contextlib.suppress(ChildProcessError):  # its workers, when it could not wait for them itself
                while True:
                    os.waitpid(-process.pid, 0)
        receiver.close()


def _run(job: Callable[[], bytes], give_way: Callable[[], None], pipe: Connection, parent: int) -> None:
    die_with_parent(parent)
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)  # as the parent does: whoever comes first
    # Whoever reads what the verifying process writes shall see the end of it when that one has ended.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    give_way()
    answer = job()
    with contextlib.suppress(BrokenPipeError):  # whoever asked was stopped
        pipe.send_bytes(answer)


def _received(pipe: Connection) -> bytes:
    try:
        return pipe.recv_bytes()
    except EOFError:
        sys.exit(1)  # it was killed, such as when the memory ran out, or standard error has why


def _be_idle() -> None:
    _be_nice(_NICENESS)
    # Linux: preempted at once by whatever wakes up, which a nice process is not.
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _be_nice(niceness: int) -> None:
    if hasattr(os, "nice"):
        with contextlib.suppress(OSError):
            os.nice(niceness)


def _print(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
