"""Where a command's output goes wrong: a reader that has gone, a full disk, a closed standard output."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.daemon.command_line import DEADLINE_S, environment
from tests.daemon_process import DaemonProcess, start_daemon

COMMANDS = {
    "export": ["export", "--url", "{url}"],
    "export ndjson": ["export", "--url", "{url}", "--format", "ndjson"],
    "export a file": ["export", "--db", "{db}"],
    "query": ["query", "--url", "{url}", "--limit", "5000"],
    "tail": ["tail", "--url", "{url}", "--since-id", "0"],
    "stats": ["stats", "--url", "{url}"],
    "verify": ["verify", "--db", "{db}"],
    "emit": ["emit", "--url", "{url}", "other", "s"],
    "help": ["--help"],
}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    with start_daemon(tmp_path_factory.mktemp("output") / "audit.db") as running:
        events = [{"kind": "other", "source": "s", "payload": {"text": "x" * 100}} for _ in range(5_000)]
        httpx.post(f"{running.url}/events/batch", json=events, timeout=20).raise_for_status()
        yield running


def end_of(daemon: DaemonProcess, command: str, stdout: int | None) -> tuple[int, list[str]]:
    """How a command ends whose standard output is `stdout`, None for closed: its code and what it says of it."""
    arguments = [each.format(url=daemon.url, db=daemon.log[-1]["database"]) for each in COMMANDS[command]]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "audit_daemon", *arguments],
        stdout=subprocess.DEVNULL if stdout is None else stdout,
        stderr=subprocess.PIPE,
        env=environment(),
        timeout=DEADLINE_S,
        text=True,
        check=False,
        preexec_fn=None if stdout is not None else lambda: os.close(1),
    )
    return done.returncode, done.stderr.splitlines()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_reader_that_has_gone_ends_a_command_without_a_word(daemon: DaemonProcess, command: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        assert end_of(daemon, command, writing) == (141, [])
    finally:
        os.close(writing)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("command", ["export", "export a file", "query", "help"])
def test_a_full_disk_is_one_line(daemon: DaemonProcess, command: str) -> None:
    with Path("/dev/full").open("wb") as full:
        assert end_of(daemon, command, full.fileno()) == (2, ["audit-stream: cannot write: No space left on device"])


@pytest.mark.parametrize("command", ["export a file", "stats", "help"])
def test_a_closed_standard_output_is_one_line(daemon: DaemonProcess, command: str) -> None:
    assert end_of(daemon, command, None) == (2, ["audit-stream: cannot write: Bad file descriptor"])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("command", ["export", "export a file"])
def test_an_export_to_a_full_disk_names_the_file(daemon: DaemonProcess, command: str) -> None:
    arguments = [each.format(url=daemon.url, db=daemon.log[-1]["database"]) for each in COMMANDS[command]]
    done = subprocess.run(
        [sys.executable, "-m", "audit_daemon", *arguments, "-o", "/dev/full"],
        capture_output=True, env=environment(), timeout=DEADLINE_S, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (2, "audit-stream: cannot write /dev/full: No space left on device\n")
