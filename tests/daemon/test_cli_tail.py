"""`audit-stream tail` as a process, beside a daemon that dies and comes back."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.daemon.command_line import DEADLINE_S, spawn_command
from tests.daemon_process import DaemonProcess, start_daemon


class Tail:
    """A running tail, read line by line."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        assert process.stdout is not None
        assert process.stderr is not None
        self._streams = {"out": process.stdout, "err": process.stderr}
        self._rest = {"out": b"", "err": b""}

    def lines(self, count: int, stream: str = "out") -> list[str]:
        """The next `count` lines."""
        pipe = self._streams[stream]
        deadline = time.monotonic() + DEADLINE_S
        while self._rest[stream].count(b"\n") < count:
            ready, _, _ = select.select([pipe], [], [], max(0, deadline - time.monotonic()))
            data = os.read(pipe.fileno(), 65_536) if ready else b""
            assert data, f"{self._rest[stream]!r} and nothing more; stderr: {self._rest['err']!r}"
            self._rest[stream] += data
        *lines, self._rest[stream] = self._rest[stream].split(b"\n", count)
        return [line.decode() for line in lines]

    def interrupt(self) -> tuple[int, bytes, bytes]:
        """Ctrl-C; returns the exit code and what was printed and not read yet."""
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, self._rest["out"] + out, self._rest["err"] + err


@contextmanager
def tailing(daemon: DaemonProcess, *arguments: str) -> Iterator[Tail]:
    with spawn_command("tail", "--url", daemon.url, *arguments) as process:
        try:
            yield Tail(process)
        finally:
            process.kill()


def post(daemon: DaemonProcess, *numbers: int, kind: str = "other") -> None:
    for number in numbers:
        event = {"kind": kind, "source": "test", "payload": {"n": number}}
        httpx.post(f"{daemon.url}/events", json=event).raise_for_status()


def test_a_tail_survives_the_daemons_death_without_missing_or_doubling_an_event(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"
    with start_daemon(path) as daemon, tailing(daemon, "--since-id", "0", "--json") as tail:
        post(daemon, 1, 2, 3)
        seen = tail.lines(3)
        daemon.kill()
        (lost,) = tail.lines(1, "err")
        with start_daemon(path, "--port", str(daemon.port)) as again:
            post(again, 4, 5)
            seen += tail.lines(2)
            (back,) = tail.lines(1, "err")
            served = httpx.get(f"{again.url}/events", headers={"Accept": "application/x-ndjson"}).text
            assert tail.interrupt() == (130, b"", b"")
    assert "".join(f"{line}\n" for line in seen) == served
    assert [json.loads(line)["payload"]["n"] for line in seen] == [1, 2, 3, 4, 5]
    assert lost.startswith("audit-stream: ")
    assert lost.endswith("; trying again")
    assert back == "audit-stream: connected again, going on after event #3"


def test_history_comes_first_and_the_filter_holds_for_both(tmp_path: Path) -> None:
    with start_daemon(tmp_path / "audit.db") as daemon:
        post(daemon, 1, 2)
        post(daemon, 3, kind="request_denied")
        with tailing(daemon, "--last", "1", "kind:other", "-payload.n:5") as tail:
            history = tail.lines(1)
            post(daemon, 4, kind="request_denied")
            post(daemon, 5, 6)
            live = tail.lines(1)
    assert [line.rpartition(" INFO ")[2] for line in history + live] == ["other test n=2", "other test n=6"]


def test_a_tail_whose_reader_has_gone_ends_quietly(tmp_path: Path) -> None:
    with start_daemon(tmp_path / "audit.db") as daemon, tailing(daemon, "--since-id", "0") as tail:
        post(daemon, 1)
        tail.lines(1)
        assert tail.process.stdout is not None
        tail.process.stdout.close()
        post(daemon, 2)
        assert tail.process.wait(DEADLINE_S) == 141
        assert tail.process.stderr is not None
        assert tail.process.stderr.read() == b""
