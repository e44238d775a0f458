"""A verification whose process is stopped or gets nowhere: the verdict is unknown, everywhere, and a stop is a stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from audit_daemon.verifier.schedule import Verifier
from audit_stream.chain import GENESIS
from audit_stream.logfile import asking
from audit_stream.logfile.asking import NoVerdictError
from audit_tui.offline import DatabaseLog
from tests.daemon.store.rig import until
from tests.daemon.verifier.logs import make
from tests.daemon.verifier.test_schedule import alive, descendants, with_verifier
from tests.daemon_process import DEADLINE_S, start_daemon

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds the verifying process in /proc")

SOON_S = 10.0
"""Far more than a stop may take, far less than a verification that is waited for."""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    make(tmp_path / "audit.db", 200)
    return tmp_path / "audit.db"


def verifying(pid: int) -> set[int]:
    """The verifying processes below a process: not one that is only being started, which its parent waits for."""
    found = set()
    for child in descendants(pid):
        with contextlib.suppress(OSError):
            if b"logfile.process" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.add(child)
    return found


def stop(pids: set[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)


async def stopped_process() -> set[int]:
    """Stop the verifying process as soon as it is there."""
    await until(lambda: bool(verifying(os.getpid())))
    pids = verifying(os.getpid())
    stop(pids)
    return pids


async def test_a_verification_whose_process_is_stopped_is_given_up_and_the_next_one_works(log: Path) -> None:
    verifier = Verifier(log, head=lambda: GENESIS, interval_s=0, stall_s=0.5)
    verification = asyncio.ensure_future(verifier.verify())
    pids = await stopped_process()
    with pytest.raises(NoVerdictError, match=r"got nowhere for 0\.5 s"):
        await verification
    assert verifier.failure is not None
    await until(lambda: not any(map(alive, pids)))
    verifier._stall_s = DEADLINE_S
    assert (await verifier.verify()).valid
    assert verifier.failure is None
    await verifier.close()


def test_a_stop_while_the_verifying_process_is_stopped_is_a_stop(log: Path) -> None:
    async def body(verifier: Verifier) -> None:
        verification = asyncio.ensure_future(verifier.verify())
        pids = await stopped_process()
        began = time.monotonic()
        await verifier.close()
        assert time.monotonic() - began < SOON_S
        with pytest.raises(asyncio.CancelledError):
            await verification
        await until(lambda: not any(map(alive, pids)))

    with_verifier(log, body)


def test_a_verification_takes_no_longer_than_its_deadline_however_it_gets_on(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "endless"
    script.write_text(
        '#!/bin/sh\necho "{\\"started\\":true}"\nwhile :; do echo "{\\"checked\\":1}"; sleep 0.01; done\n'
    )
    script.chmod(0o755)
    monkeypatch.setattr(asking, "own_python", lambda _, *arguments: [str(script), *arguments])
    monkeypatch.setattr(asking, "deadline_s", lambda _: 0.3)
    with pytest.raises(NoVerdictError, match="took longer than"):
        asyncio.run(asking.ask(log))


def test_a_verification_that_gets_on_resets_the_time_that_it_may_get_nowhere(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step takes a third of that time, all of them together twice of it."""
    script = tmp_path / "slow"
    script.write_text(
        '#!/bin/sh\necho "{\\"started\\":true}"\n'
        'for i in 1 2 3 4 5 6; do sleep 1; echo "{\\"checked\\":$i}"; done\n'
        'echo "{\\"asked\\":[\\"$1\\",\\"$2\\",\\"$3\\",\\"$4\\"],\\"error\\":\\"the end\\"}"\n'
    )
    script.chmod(0o755)
    monkeypatch.setattr(asking, "own_python", lambda _, *arguments: [str(script), *arguments])
    with pytest.raises(NoVerdictError, match="the end"):
        asyncio.run(asking.ask(log, stall_s=3.0))


async def test_a_schedule_that_does_not_come_to_a_verdict_is_overdue(log: Path) -> None:
    verifier = Verifier(log, head=lambda: GENESIS, interval_s=0)
    assert (await verifier.verify()).valid
    assert verifier.failure is None
    verifier._due_s = time.monotonic() - 1
    assert verifier.failure == "the verification by the daemon's own schedule is overdue"


def test_a_daemon_whose_verification_is_stopped_says_so_everywhere_and_stops(log: Path) -> None:
    ours = {"AUDIT_STREAM_VERIFY_INTERVAL_S": "0"}
    with start_daemon(log, env=ours) as daemon, httpx.Client(base_url=daemon.url, timeout=DEADLINE_S) as client:
        assert client.get("/verify").json()["valid"] is True
        assert "audit_stream_chain_valid 1.0" in client.get("/metrics").text
        with pytest.raises(httpx.ReadTimeout):
            client.get("/verify", timeout=0.01)  # whoever asks may hang up
        deadline = time.monotonic() + DEADLINE_S
        while not (pids := verifying(daemon.process.pid)):
            assert time.monotonic() < deadline
            with pytest.raises(httpx.ReadTimeout):
                client.get("/verify", timeout=0.01)
        stop(pids)
        began = time.monotonic()
        daemon.stop()
        assert time.monotonic() - began < SOON_S
        while any(map(alive, pids)):
            assert time.monotonic() < deadline


@pytest.mark.chaos
def test_a_daemon_gives_a_verification_up_that_gets_nowhere_and_tells_it(log: Path) -> None:
    def verify(url: str) -> httpx.Response:
        return httpx.get(f"{url}/verify", timeout=3 * DEADLINE_S)

    with start_daemon(log) as daemon, httpx.Client(base_url=daemon.url) as client, ThreadPoolExecutor() as pool:
        assert verify(daemon.url).json()["valid"] is True
        answer = pool.submit(verify, daemon.url)
        pids: set[int] = set()
        while not pids:
            pids = verifying(daemon.process.pid)
            if answer.done():
                answer = pool.submit(verify, daemon.url)
        stop(pids)
        failed = answer.result()
        assert failed.status_code == 503
        assert failed.headers["content-type"] == "application/problem+json"
        assert "got nowhere for 30 s" in failed.json()["detail"]
        ready = client.get("/readyz")
        assert ready.status_code == 503
        assert "got nowhere" in ready.json()["reasons"][0]
        assert client.get("/stats").json()["last_verdict"] is None
        metrics = client.get("/metrics").text
        assert "audit_stream_chain_valid" not in metrics
        assert "audit_stream_verify_failed 1.0" in metrics
        assert verify(daemon.url).json()["valid"] is True
        assert client.get("/readyz").status_code == 200


async def test_the_console_ends_while_its_verifying_process_is_stopped(log: Path) -> None:
    database = await DatabaseLog.open(log)
    verification = asyncio.ensure_future(database.verify())
    pids = await stopped_process()
    began = time.monotonic()
    verification.cancel()
    with pytest.raises(asyncio.CancelledError):
        await verification
    await database.close()
    assert time.monotonic() - began < SOON_S
    await until(lambda: not any(map(alive, pids)))
