"""A disk that is full or broken: refusals with the reason, nothing acknowledged lost, and recovery by itself."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.daemon_process import DEADLINE_S, spawn, start_daemon
from tests.end_to_end.faults.load import (
    Account,
    assert_nothing_lost,
    fields,
    retry_unanswered,
    size_of,
    under_load,
    wait_until,
    wait_until_ready,
)
from tests.end_to_end.faults.small_disk import small_disk
from tests.end_to_end.faults.streams import StreamReader

FULL = "database or disk is full"
BROKEN = "disk I/O error"

FAULTS = [
    pytest.param("write .db-wal", errno.ENOSPC, FULL, id="no room for the log"),
    pytest.param("write .db-wal", errno.EIO, BROKEN, id="the log cannot be written"),
    pytest.param("sync .db-wal", errno.EIO, BROKEN, id="the log cannot be synced"),
    pytest.param("write,sync,truncate .db,.db-wal,.db-shm", errno.EIO, BROKEN, id="nothing can be written"),
]
MODES = ["failed", "failed but persisted"]

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="preloading and /proc are Linux's")


class FailingDisk:
    """The preloaded library's control file; `env` is what the daemon needs to obey it."""

    def __init__(self, library: Path, control: Path) -> None:
        self._control = control
        self.env = {"LD_PRELOAD": str(library), "FAILFS_CONTROL": str(control)}

    def fail(self, what: str, code: int, mode: str) -> None:
        self._write(f"{what} {code} {'after' if mode == 'failed but persisted' else 'before'}\n")

    def stick(self, what: str) -> None:
        """Let calls wait until `work`."""
        self._write(f"{what} {errno.EIO} stuck\n")

    def work(self) -> None:
        self._control.unlink()

    def strikes(self) -> int:
        """How many calls have failed so far."""
        return size_of(self._control.with_name(self._control.name + ".struck"))

    def _write(self, text: str) -> None:
        draft = self._control.with_suffix(".draft")
        draft.write_text(text)
        draft.rename(self._control)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None and "CI" not in os.environ:
        pytest.skip("no C compiler to build the failing disk with (Debian: apt-get install gcc libc6-dev)")
    assert compiler is not None, "no C compiler to build the failing disk with"
    built = tmp_path_factory.mktemp("failfs") / "failfs.so"
    source = Path(__file__).parent / "faults" / "failfs.c"
    subprocess.run([compiler, "-std=gnu11", "-shared", "-fPIC", "-o", built, source, "-ldl"], check=True)
    return built


@pytest.fixture
def disk(library: Path, tmp_path: Path) -> FailingDisk:
    return FailingDisk(library, tmp_path / "failing")


def assert_refuses_but_lives(url: str, account: Account, reason: str) -> None:
    """What the daemon says while its disk fails; producers are posting meanwhile."""
    account.wait_for_refusal(reason)
    unready = wait_until_ready(url, status=503)
    assert unready["status"] == "unavailable"
    assert any(reason in each for each in unready["reasons"])
    assert httpx.get(f"{url}/healthz").status_code == 200
    assert httpx.get(f"{url}/events?limit=1").json() != []
    assert httpx.get(f"{url}/verify", timeout=DEADLINE_S).json()["valid"] is True


def assert_all_refusals_say(account: Account, reason: str) -> None:
    assert account.refusals
    for status, detail in account.refusals:
        assert status == 503
        assert reason in detail
    account.refusals.clear()


def assert_saw_everything(stream: StreamReader, count: int) -> None:
    """The stream was cut by the kill, but what came is the log without a gap."""
    ids = [int(line[4:]) for line in stream.received.split(b"\n") if line.startswith(b"id: ") and line[4:].isdigit()]
    assert ids[:count] == list(range(1, count + 1))


@linux_only
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("what", "code", "reason"), FAULTS)
def test_a_failing_disk_refuses_recovers_by_itself_and_loses_nothing(
    tmp_path: Path, disk: FailingDisk, what: str, code: int, reason: str, mode: str
) -> None:
    path, account = tmp_path / "audit.db", Account()
    with start_daemon(path, env=disk.env) as daemon:
        stream = StreamReader(daemon.port)
        stream.start()
        with under_load(daemon.url, account, name="before", seed=1):
            account.wait_for(60)
            disk.fail(what, code, mode)
            assert_refuses_but_lives(daemon.url, account, reason)
        assert_all_refusals_say(account, reason)
        disk.work()
        assert wait_until_ready(daemon.url)["reasons"] == []  # nobody posts meanwhile
        with under_load(daemon.url, account, name="again", seed=2):
            account.wait_for(account.answers + 40)
        assert account.refusals == []
        count = len(assert_nothing_lost(daemon.url, account))
        with under_load(daemon.url, account, name="killed", seed=3):
            disk.fail(what, code, mode)
            account.wait_for_refusal(reason)
            daemon.kill()
        assert_all_refusals_say(account, reason)
        stream.join(DEADLINE_S)
        assert_saw_everything(stream, count)
    with start_daemon(path) as daemon:
        assert_nothing_lost(daemon.url, account)
        retry_unanswered(daemon.url, account)
        assert len(assert_nothing_lost(daemon.url, account)) > count


@linux_only
@pytest.mark.parametrize("mode", MODES)
def test_a_database_that_cannot_be_written_delays_the_checkpoint_and_nothing_else(
    tmp_path: Path, disk: FailingDisk, mode: str
) -> None:
    """Events go to the write-ahead log; that it cannot be copied into the database refuses nothing."""
    path, account = tmp_path / "audit.db", Account()
    large = [fields("large") | {"payload": {"text": "x" * 60_000}} for _ in range(200)]
    with start_daemon(path, env=disk.env) as daemon, httpx.Client(base_url=daemon.url, timeout=DEADLINE_S) as client:
        account.note("first", client.post("/events", json=fields("first")))
        disk.fail("write,sync .db", errno.EIO, mode)
        for _ in range(4):
            assert client.post("/events/batch", json=large).status_code == 201
        wait_until(lambda: disk.strikes() > 0)  # a checkpoint was tried
        assert client.post("/events", json=fields("last")).status_code == 201
        assert wait_until_ready(daemon.url)["status"] == "ok"
        daemon.kill()
    disk.work()
    with start_daemon(path) as daemon:
        verdict = httpx.get(f"{daemon.url}/verify", timeout=DEADLINE_S).json()
        assert (verdict["valid"], verdict["checked"]) == (True, 2 + 4 * len(large))


def full_until(account: Account, url: str, fill: Callable[[], None], free: Callable[[], None], reason: str) -> None:
    """Producers post; the disk fills up and gets room again."""
    with under_load(url, account, name="full", seed=4):
        account.wait_for(60)
        fill()
        assert_refuses_but_lives(url, account, reason)
    assert_all_refusals_say(account, reason)
    free()
    assert wait_until_ready(url)["reasons"] == []
    with under_load(url, account, name="room", seed=5):
        account.wait_for(account.answers + 40)
    assert account.refusals == []
    retry_unanswered(url, account)
    assert_nothing_lost(url, account)


@linux_only
def test_a_full_file_system_refuses_until_there_is_room_again(tmp_path: Path) -> None:
    account = Account()
    with small_disk(tmp_path) as disk, disk.daemon() as daemon:
        full_until(account, daemon.url, disk.fill, disk.free, FULL)


@linux_only
def test_a_start_on_a_full_file_system_says_so_or_works_and_loses_nothing(tmp_path: Path) -> None:
    account = Account()
    with small_disk(tmp_path) as disk:
        with disk.daemon() as daemon, under_load(daemon.url, account, name="full", seed=6):
            account.wait_for(60)
            disk.fill()
            account.wait_for_refusal(FULL)
            daemon.kill()
        refused = disk.spawn()
        try:
            _, log = refused.communicate(timeout=3)
            assert refused.returncode == 1
            assert b"cannot start" in log
            assert b"Traceback" not in log
        except subprocess.TimeoutExpired:  # it runs: fine as well
            refused.kill()
            refused.communicate()
        disk.free()
        with disk.daemon() as daemon:
            retry_unanswered(daemon.url, account)
            assert_nothing_lost(daemon.url, account)


@linux_only
def test_a_file_size_limit_refuses_until_it_is_raised(tmp_path: Path) -> None:
    account, path = Account(), tmp_path / "audit.db"
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    with start_daemon(path) as daemon:
        pid = daemon.process.pid

        def limit() -> None:
            size = max(part.stat().st_size for part in tmp_path.iterdir())
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

        full_until(account, daemon.url, limit, lambda: _unlimit(pid, unlimited), BROKEN)


def _unlimit(pid: int, limits: tuple[int, int]) -> None:
    resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


def test_a_log_in_a_directory_that_cannot_be_written_is_refused_at_the_start(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    process = spawn(blocked / "audit.db")
    _, log = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1
    assert f"cannot create {blocked}".encode() in log
    assert b"Traceback" not in log
    assert list(tmp_path.iterdir()) == [blocked]
