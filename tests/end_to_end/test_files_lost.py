"""The store's files are deleted, replaced or cut while twelve producers post: every 201 is in a file that is named."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from audit_daemon.store import writer
from audit_stream.logfile.verification import verify_file
from tests.daemon_process import DEADLINE_S, DaemonProcess, spawn, start_daemon, wait_until_listening
from tests.end_to_end.faults.load import (
    Account,
    assert_nothing_lost,
    fields,
    retry_unanswered,
    under_load,
    wait_until_ready,
)

SEED = 20_261_125
PRODUCERS = 12


def _replace(path: Path) -> None:
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    copy.rename(path)


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


Fault = Callable[[Path], None]
FAULTS: dict[str, tuple[str, Fault]] = {
    "log deleted": ("-wal", Path.unlink),
    "log cut": ("-wal", _cut),
    "log cut to nothing": ("-wal", lambda path: os.truncate(path, 0)),
    "log replaced": ("-wal", _replace),
    "index deleted": ("-shm", Path.unlink),
    "index replaced": ("-shm", _replace),
    "database deleted": ("", Path.unlink),
    "database replaced": ("", _replace),
}


def rescue_of(daemon: DaemonProcess) -> Path:
    """Wait until the daemon names the file that everything was saved into."""
    while True:
        (reason, *_) = wait_until_ready(daemon.url, status=503)["reasons"]
        if "is being saved" not in reason:
            found = re.search(r"up to event #\d+, is in (\S+): stop the daemon", reason)
            assert found, reason
            return Path(found[1])


def assert_reads_are_answered(url: str) -> None:
    with httpx.Client(base_url=url, timeout=DEADLINE_S) as client:
        for target in (
            "/events?limit=5",
            "/events?limit=5000",
            "/events/1",
            "/events?q=%22one%22",
            "/stats",
            "/metrics",
        ):
            answer = client.get(target)
            assert answer.status_code in (200, 503), (target, answer.text)
        verify = client.get("/verify")
        assert verify.status_code == 503  # and no verdict about files that are not those of the daemon
        assert verify.headers["content-type"] == "application/problem+json"


@pytest.mark.chaos
@pytest.mark.parametrize("fault", FAULTS)
def test_every_acknowledged_event_is_in_the_file_that_is_named(tmp_path: Path, fault: str) -> None:
    moments = random.Random(f"{SEED} {fault}")
    path, account = tmp_path / "audit.db", Account()
    suffix, strike = FAULTS[fault]
    with start_daemon(path) as daemon:
        with under_load(daemon.url, account, name="lost", seed=SEED, producers=PRODUCERS):
            account.wait_for(moments.randint(20, 600))
            strike(path.with_name(path.name + suffix))
            account.wait_for_refusal("while the daemon has it open")
            assert_reads_are_answered(daemon.url)
            rescue = rescue_of(daemon)
        assert {status for status, _ in account.refusals} == {503}
        account.refusals.clear()
        lines = httpx.get(f"{daemon.url}/events?since_id=0&limit=100000", headers={"Accept": "application/x-ndjson"})
        assert max(account.events, default=0) <= len(lines.content.splitlines())
        assert daemon.stop() == 0
    restored = tmp_path / "restored" / "audit.db"
    restored.parent.mkdir()
    rescue.rename(restored)
    with start_daemon(restored) as daemon:
        assert_nothing_lost(daemon.url, account)
        retry_unanswered(daemon.url, account)
        assert_nothing_lost(daemon.url, account)


@pytest.mark.chaos
@pytest.mark.parametrize("fault", FAULTS)
def test_a_start_after_kill_9_holds_every_acknowledged_event_or_is_refused(tmp_path: Path, fault: str) -> None:
    moments = random.Random(f"{SEED} kill {fault}")
    path, account = tmp_path / "audit.db", Account()
    suffix, strike = FAULTS[fault]
    for round_ in range(3):
        with start_daemon(path) as daemon:
            with under_load(daemon.url, account, name=f"lost-{round_}", seed=SEED + round_, producers=PRODUCERS):
                account.wait_for(account.answers + moments.randint(20, 300))
                strike(path.with_name(path.name + suffix))
                daemon.kill()
            assert {status for status, _ in account.refusals} <= {503}
            account.refusals.clear()
        refused = _refusal(path)
        if refused is not None:
            assert "Traceback" not in refused
            assert "was acknowledged" in refused or "lies beside it" in refused
            return
        with start_daemon(path) as daemon:
            assert_nothing_lost(daemon.url, account)
            retry_unanswered(daemon.url, account)
            assert_nothing_lost(daemon.url, account)


def _refusal(path: Path) -> str | None:
    """Why the daemon does not start on a file; None when it does."""
    process = spawn(path)
    try:
        wait_until_listening(process).kill()
    except AssertionError as error:
        return str(error)
    finally:
        assert process.stderr is not None
        process.stderr.close()
    return None


def test_a_daemon_whose_log_was_deleted_says_so_and_names_the_file_that_holds_everything(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"
    with start_daemon(path) as daemon, httpx.Client(base_url=daemon.url, timeout=DEADLINE_S) as client:
        for number in range(3):
            assert client.post("/events", json=fields(f"before-{number}")).status_code == 201
        path.with_name("audit.db-wal").unlink()
        answer = client.post("/events", json=fields("after"))
        assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
        assert "audit.db-wal was deleted" in answer.json()["detail"]
        rescue = rescue_of(daemon)
        assert_reads_are_answered(daemon.url)
        assert "audit_stream_store_ok 0.0" in client.get("/metrics").text
        daemon.kill()
    assert (verify_file(rescue).valid, verify_file(rescue).checked) == (True, 3)
    refused = _refusal(path)
    assert refused is not None
    assert f"Put the whole one in its place ({rescue.name}, which the daemon has saved)" in refused


def test_a_daemon_ends_by_an_index_that_is_cut_and_its_next_start_holds_every_acknowledged_event(
    tmp_path: Path,
) -> None:
    path = tmp_path / "audit.db"
    with start_daemon(path) as daemon, httpx.Client(base_url=daemon.url, timeout=DEADLINE_S) as client:
        for number in range(3):
            assert client.post("/events", json=fields(f"before-{number}")).status_code == 201
        os.truncate(path.with_name("audit.db-shm"), 0)
        assert daemon.process.wait(DEADLINE_S) == -signal.SIGBUS
    with start_daemon(path) as daemon:
        assert httpx.get(f"{daemon.url}/stats").json()["count"] == 3
        assert httpx.get(f"{daemon.url}/verify").json()["valid"]


def test_a_service_that_saves_what_was_acknowledged_is_not_killed_meanwhile() -> None:
    unit = Path(__file__).parents[2] / "deploy" / "audit-stream.service"
    (stop_s,) = re.findall(r"^TimeoutStopSec=(\d+)$", unit.read_text(), re.MULTILINE)
    assert int(stop_s) > writer._RESCUE_CLOSE_S + 2 * writer._CLOSE_S
