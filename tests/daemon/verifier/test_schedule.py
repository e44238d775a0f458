"""When the chain is verified: shared verifications, fresh verdicts, and processes that die or are stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from audit_daemon.verifier.schedule import Verifier
from audit_stream.chain import GENESIS, Head, Verdict
from audit_stream.logfile.asking import NoVerdictError
from tests.daemon.store.rig import build, events, until
from tests.daemon.verifier.logs import edit, make

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="finds the verifying process in /proc")

TAMPER = (
    "UPDATE events SET canonical = CAST(replace(CAST(canonical AS TEXT), '\"payload\":{', '\"payload\":{ ') AS BLOB)"
    " WHERE event_id = 5"
)


def with_verifier(
    path: Path,
    body: Callable[[Verifier], Awaitable[None]],
    *,
    head: Callable[[], Head] = lambda: GENESIS,
    interval_s: float = 0,
) -> None:
    async def run() -> None:
        verifier = Verifier(path, head=head, interval_s=interval_s)
        verifier.start()
        try:
            await body(verifier)
        finally:
            await verifier.close()

    asyncio.run(run())


def descendants(pid: int) -> list[int]:
    """The processes that a process has started, and theirs."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(child) for child in task.read_text().split()]
        except OSError:
            continue
        for child in children:
            found += [child, *descendants(child)]
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Gate:
    """Stands before the verifying process: lets it say that it reads, and then holds it until the gate is opened."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._fifo = directory / "gate"
        os.mkfifo(self._fifo)
        script = directory / "python"
        script.write_text(
            f"#!/bin/sh\nif [ -p '{self._fifo}' ]; then echo '{{\"started\":true}}'; read line < '{self._fifo}'; "
            f"'{sys.executable}' \"$@\" | tail -n +2; else exec '{sys.executable}' \"$@\"; fi\n"
        )
        script.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(script))

    def remove(self) -> None:
        """Hold nobody any more."""
        self._fifo.unlink()

    def open(self) -> None:
        """Let the process go on, and all that come after it."""
        with self._fifo.open("w") as fifo:
            self._fifo.unlink()
            fifo.write("go on\n")


async def held_verification(verifier: Verifier) -> asyncio.Task[object]:
    """A verification whose process has begun to read, as far as the verifier knows, and is held there by a gate."""
    verification: asyncio.Task[object] = asyncio.ensure_future(verifier.verify())
    await until(lambda: verifier._running is not None)
    return verification


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(tmp_path, monkeypatch)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    make(tmp_path / "audit.db", 200)
    return tmp_path / "audit.db"


def test_ten_callers_at_once_cause_one_verification(log: Path) -> None:
    async def body(verifier: Verifier) -> None:
        reports = await asyncio.gather(*(verifier.verify() for _ in range(10)))
        assert verifier.verifications == 1
        assert all(report is reports[0] for report in reports)
        assert (reports[0].valid, reports[0].checked) == (True, 200)
        assert verifier.last is reports[0]

    with_verifier(log, body)


@pytest.mark.parametrize("when", range(4))
def test_an_edit_before_the_call_is_always_seen(log: Path, when: int) -> None:
    async def body(verifier: Verifier) -> None:
        earlier = asyncio.ensure_future(verifier.verify())
        await until(lambda: verifier.verifications == 1)
        for _ in range(when * 3):
            await asyncio.sleep(0)
        edit(log, TAMPER)
        report = await verifier.verify()
        assert (report.valid, report.first_break_at) == (False, 5)
        await earlier

    with_verifier(log, body)


def test_callers_that_come_during_a_verification_share_the_next_one_and_see_an_edit_made_meanwhile(
    log: Path, gate: Gate
) -> None:
    async def body(verifier: Verifier) -> None:
        first = await held_verification(verifier)
        edit(log, TAMPER)
        callers = [asyncio.ensure_future(verifier.verify()) for _ in range(10)]
        await asyncio.sleep(0)
        gate.open()
        reports = await asyncio.gather(*callers)
        assert verifier.verifications == 2
        assert {(report.valid, report.first_break_at) for report in reports} == {(False, 5)}
        await first

    with_verifier(log, body)


def test_a_caller_that_gives_up_does_not_end_the_verification_of_the_others(log: Path, gate: Gate) -> None:
    async def body(verifier: Verifier) -> None:
        impatient = await held_verification(verifier)
        impatient.cancel()
        patient = asyncio.ensure_future(verifier.verify())
        gate.open()
        assert (await patient).valid is True
        assert verifier.verifications == 2

    with_verifier(log, body)


@linux_only
def test_a_verifying_process_that_dies_is_an_error_and_the_next_verification_works(log: Path, gate: Gate) -> None:
    async def body(verifier: Verifier) -> None:
        others = set(descendants(os.getpid()))
        verification = await held_verification(verifier)
        for process in set(descendants(os.getpid())) - others:
            os.kill(process, signal.SIGKILL)
        with pytest.raises(NoVerdictError, match="ended without a verdict"):
            await verification
        gate.remove()
        assert verifier.last is None
        assert (await verifier.verify()).valid is True

    with_verifier(log, body)


def test_a_verifying_process_that_cannot_start_is_an_error_and_the_next_verification_works(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(verifier: Verifier) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", "/nonexistent/python")
            with pytest.raises(NoVerdictError, match="did not start: No such file"):
                await verifier.verify()
        assert (await verifier.verify()).valid is True

    with_verifier(log, body)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "does not exist"), (b"", "not one of audit-stream"), (b"plain text " * 400, "not a database")],
)
def test_a_file_that_cannot_be_checked_is_an_error_with_its_reason(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    path = tmp_path / "audit.db"
    if content is not None:
        path.write_bytes(content)

    async def body(verifier: Verifier) -> None:
        with pytest.raises(NoVerdictError, match=reason):
            await verifier.verify()

    with_verifier(path, body)


@linux_only
@pytest.mark.parametrize("count", [200, 60_000])
def test_closing_during_a_verification_leaves_no_process_behind(tmp_path: Path, count: int) -> None:
    """60,000 events are verified by several processes."""
    path = tmp_path / "audit.db"
    build(path, *(events(10_000, first=first) for first in range(0, count, 10_000)))
    started: list[int] = []

    async def body(verifier: Verifier) -> None:
        before = set(descendants(os.getpid()))
        verification = asyncio.ensure_future(verifier.verify())
        workers = 1 if count == 200 or len(os.sched_getaffinity(0)) == 1 else 3
        await until(lambda: len(set(descendants(os.getpid())) - before) >= workers or verification.done())
        started.extend(set(descendants(os.getpid())) - before)
        await verifier.close()
        await until(lambda: not any(alive(pid) for pid in started))
        with pytest.raises(asyncio.CancelledError):
            await verification

    with_verifier(path, body)
    assert started


def test_the_schedule_verifies_by_itself_and_notes_a_break(log: Path) -> None:
    async def body(verifier: Verifier) -> None:
        await until(lambda: verifier.last is not None)
        assert verifier.last is not None
        assert verifier.last.valid is True
        edit(log, TAMPER)
        await until(lambda: verifier.last is not None and not verifier.last.valid)
        assert verifier.last.first_break_at == 5

    with_verifier(log, body, interval_s=0.01)


def test_the_schedule_fills_at_most_a_tenth_of_the_time_whatever_the_verification_says_that_it_took(log: Path) -> None:
    delays_s: list[float] = []

    async def sleep(seconds: float) -> None:
        delays_s.append(seconds)
        await asyncio.sleep(0)

    class Slow(Verifier):
        async def _ask(self, head: Head) -> Verdict:
            await asyncio.sleep(0.02)
            return Verdict(valid=True, checked=0, first_break_at=None, reason=None, duration_ms=0)

    async def run() -> None:
        verifier = Slow(log, head=lambda: GENESIS, interval_s=0.001, sleep=sleep)
        verifier.start()
        await until(lambda: len(delays_s) > 2)
        await verifier.close()

    asyncio.run(run())
    assert min(delays_s[1:]) >= 0.2


def test_the_schedule_goes_on_after_a_verification_that_failed(log: Path) -> None:
    hidden = log.with_name("hidden.db")
    log.rename(hidden)

    async def body(verifier: Verifier) -> None:
        await until(lambda: verifier.verifications >= 1)
        hidden.rename(log)
        await until(lambda: verifier.last is not None)

    with_verifier(log, body, interval_s=0.01)


def test_a_log_that_lost_what_the_daemon_acknowledged_is_broken(log: Path) -> None:
    with closing(sqlite3.connect(log)) as connection:
        head = Head(*connection.execute("SELECT event_id, hash FROM head").fetchone())
    edit(
        log,
        "DELETE FROM events WHERE event_id > 150",
        "UPDATE head SET event_id = 150, hash = (SELECT hash FROM events WHERE event_id = 150)",
    )

    async def body(verifier: Verifier) -> None:
        report = await verifier.verify()
        assert (report.valid, report.first_break_at) == (False, 151)

    with_verifier(log, body, head=lambda: head)


def test_a_break_is_logged_once_however_often_it_is_asked_for_and_that_it_holds_again(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"
    build(path, *(events(10),))
    with closing(sqlite3.connect(path)) as connection, connection:
        (before,) = connection.execute("SELECT canonical FROM events WHERE event_id = 5").fetchone()
    edit(path, TAMPER)

    async def body(verifier: Verifier) -> None:
        for _ in range(3):
            assert not (await verifier.verify()).valid
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE events SET canonical = ? WHERE event_id = 5", (before,))
        assert (await verifier.verify()).valid

    with capture_logs() as logged:
        with_verifier(path, body)
    assert [entry["event"] for entry in logged] == ["THE CHAIN IS BROKEN", "the chain holds again"]
