"""A job in a process that gives way to everything else, but not for ever."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import Connection

from audit_stream.logfile.asking import STALL_S
from audit_stream.logfile.forked import die_with_parent

__all__ = ["Tell", "giving_way"]

_NICENESS = 19
_HURRIED_NICENESS = 10
"""A tenth of a processor that another wants too: 10,000 events take 0.4 s beside a loop a core."""

_IDLE_STALL_S = STALL_S / 3
"""Without progress at idle priority, a job is begun anew before whoever waits for it gives it up."""

Tell = Callable[[bytes], None]
"""Passes on a line that says how far a job has come."""


def giving_way(job: Callable[[Tell], bytes], tell: Tell, *, patience_s: float) -> bytes:
    """What the job returns; what it tells is passed on. It runs only when nothing else wants the processor.

    When others want it all the time, such a job gets next to nothing of it (sched(7), SCHED_IDLE), and a verdict that
    never comes is worth less than a producer that waits a little. So after `patience_s`, or a while without progress,
    it is begun anew, with a low priority. A process of its own is ended for that: without privileges it could not raise
    its priority again.
    """
    if not hasattr(os, "SCHED_IDLE") or "fork" not in multiprocessing.get_all_start_methods():
        _be_nice(_NICENESS)
        return job(tell)
    try:
        with _forked(job, _be_idle) as pipe:
            answer = _received(pipe, tell, deadline=time.monotonic() + patience_s)
        if answer is not None:
            return answer
        with _forked(job, partial(_be_nice, _HURRIED_NICENESS)) as pipe:
            answer = _received(pipe, tell)
            assert answer is not None
            return answer
    except OSError:  # no process left for another one
        _be_nice(_HURRIED_NICENESS)
        return job(tell)


@contextlib.contextmanager
def _forked(job: Callable[[Tell], bytes], give_way: Callable[[], None]) -> Iterator[Connection]:
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


def _run(job: Callable[[Tell], bytes], give_way: Callable[[], None], pipe: Connection, parent: int) -> None:
    die_with_parent(parent)
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)  # as the parent does: whoever comes first
    # Whoever reads what the verifying process writes shall see the end of it when that one has ended.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    give_way()
    with contextlib.suppress(BrokenPipeError):  # whoever asked was stopped
        answer = job(lambda line: pipe.send((False, line)))
        pipe.send((True, answer))


def _received(pipe: Connection, tell: Tell, *, deadline: float | None = None) -> bytes | None:
    """The job's answer, after all that it tells; None when it does not come until then, or gets nowhere."""
    while True:
        if deadline is not None and not pipe.poll(max(0.0, min(_IDLE_STALL_S, deadline - time.monotonic()))):
            return None
        try:
            is_answer, line = pipe.recv()
        except EOFError:
            sys.exit(1)  # it was killed, such as when the memory ran out, or standard error has why
        if is_answer:
            return bytes(line)
        tell(line)


def _be_idle() -> None:
    _be_nice(_NICENESS)
    # Linux: preempted at once by whatever wakes up, which a nice process is not.
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _be_nice(niceness: int) -> None:
    if hasattr(os, "nice"):
        with contextlib.suppress(OSError):
            os.nice(niceness)
