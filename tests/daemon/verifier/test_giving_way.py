"""The verifying process gives way to everything else, but not for ever."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from audit_stream.logfile import giving_way as module
from audit_stream.logfile.giving_way import Tell, giving_way
from tests.daemon_process import DEADLINE_S, start_daemon

pytestmark = pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="only Linux has an idle priority")


def who(tell: Tell = lambda line: None) -> bytes:
    """The job: how it is scheduled, and in which process."""
    return json.dumps([os.sched_getscheduler(0), os.nice(0), os.getpid()]).encode()


def starved_at_idle_priority(tell: Tell) -> bytes:
    """The job: never comes to its end at idle priority."""
    while os.sched_getscheduler(0) == os.SCHED_IDLE:
        signal.pause()
    return who()


def ignore(line: bytes) -> None:
    pass


def test_what_a_job_tells_is_passed_on_in_its_order() -> None:
    told: list[bytes] = []

    def job(tell: Tell) -> bytes:
        for number in range(100):
            tell(b"%d" % number)
        return b"done"

    assert giving_way(job, told.append, patience_s=DEADLINE_S) == b"done"
    assert told == [b"%d" % number for number in range(100)]


def test_a_job_that_gets_nowhere_at_idle_priority_is_begun_anew_before_its_patience_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_IDLE_STALL_S", 0.01)
    scheduler, *_ = json.loads(giving_way(starved_at_idle_priority, ignore, patience_s=100 * DEADLINE_S))
    assert scheduler == os.SCHED_OTHER


def test_a_job_runs_at_idle_priority_in_a_process_of_its_own() -> None:
    scheduler, niceness, pid = json.loads(giving_way(who, ignore, patience_s=DEADLINE_S))
    assert (scheduler, niceness) == (os.SCHED_IDLE, 19)
    assert pid != os.getpid()
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_a_job_that_gets_no_processor_at_idle_priority_is_done_at_a_low_one() -> None:
    scheduler, niceness, _ = json.loads(giving_way(starved_at_idle_priority, ignore, patience_s=0.01))
    assert scheduler == os.SCHED_OTHER
    assert 0 < niceness < 19


def test_a_job_that_dies_has_no_answer() -> None:
    with pytest.raises(SystemExit) as caught:
        giving_way(lambda tell: os._exit(3), ignore, patience_s=DEADLINE_S)
    assert caught.value.code == 1


NO_PROCESS_LEFT = """
import os
from audit_stream.logfile.giving_way import giving_way

def refuse():
    raise BlockingIOError(11, "Resource temporarily unavailable")

os.fork = refuse
print(giving_way(lambda tell: f"{os.getpid()} {os.nice(0)}".encode(), print, patience_s=600).decode())
"""


def test_without_another_process_it_is_done_here() -> None:
    with subprocess.Popen([sys.executable, "-c", NO_PROCESS_LEFT], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.read().split() == [str(process.pid), "10"]


WORKERS = """
import multiprocessing, os, signal, sys
from audit_stream.logfile.forked import adopt_orphans, die_with_parent
from audit_stream.logfile.giving_way import giving_way

def work(parent):
    die_with_parent(parent)
    print(os.getppid(), os.getpid(), file=sys.stderr, flush=True)
    signal.pause()

def job(tell):
    worker = multiprocessing.get_context("fork").Process(target=work, args=(os.getpid(),))
    worker.start()
    while os.sched_getscheduler(0) == os.SCHED_IDLE:
        signal.pause()
    worker.kill()
    worker.join()
    return b"done"

adopt_orphans()
print(giving_way(job, print, patience_s=float(sys.argv[1])).decode(), flush=True)
try:
    print(os.waitpid(-1, 0))
except ChildProcessError:
    print("no children")
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_a_process_that_is_ended_takes_along_what_it_forked_and_who_reads_from_it_sees_its_end(how: int) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", WORKERS, "600"], stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        forked = [int(pid) for pid in process.stderr.readline().split()]
        process.send_signal(how)
        assert process.stdout.read() == ""
        assert process.wait(DEADLINE_S) != 0
        deadline = time.monotonic() + DEADLINE_S
        while any(map(_runs, forked)):
            assert time.monotonic() < deadline


def test_workers_of_a_job_that_was_given_up_are_waited_for() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WORKERS, "1"], capture_output=True, text=True, timeout=DEADLINE_S, check=True
    )
    assert done.stdout.split("\n")[:2] == ["done", "no children"]


def _runs(pid: int) -> bool:
    try:  # a process that nobody has asked for its end yet is still listed
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_machine_that_is_busy_all_the_time_gets_verdicts(tmp_path: Path) -> None:
    with start_daemon(tmp_path / "audit.db") as daemon, contextlib.ExitStack() as ends:
        events = [{"kind": "other", "source": "load", "payload": {"n": n}} for n in range(10_000)]
        for _ in range(4):
            assert httpx.post(f"{daemon.url}/events/batch", json=events, timeout=DEADLINE_S).status_code == 201
        for _ in range(2 * len(os.sched_getaffinity(0))):
            busy = subprocess.Popen(["sh", "-c", "while :; do :; done"])
            ends.callback(busy.wait)
            ends.callback(busy.kill)
        verdict = httpx.get(f"{daemon.url}/verify", timeout=2 * DEADLINE_S).json()
        assert (verdict["valid"], verdict["checked"]) == (True, 40_000)
