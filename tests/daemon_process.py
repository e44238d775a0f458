"""A real daemon as a process, for tests: a real file, a real port, and real signals."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

DEADLINE_S = 20.0


class DaemonProcess:
    """A running daemon. `url` has no trailing slash; `log` is what it printed until it listened."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, log: list[dict[str, Any]]) -> None:
        self.process = process
        self.url = url
        self.port = int(url.rpartition(":")[2])
        self.log = log
        self._printed = bytearray()
        self._drain = threading.Thread(target=self._read_on, daemon=True)
        self._drain.start()

    @property
    def printed(self) -> str:
        """What it printed after it listened; all of it once it has stopped."""
        if self.process.poll() is not None:
            self._drain.join(DEADLINE_S)
        return self._printed.decode()

    def _read_on(self) -> None:
        """Read what the daemon goes on to log: a full pipe would stop it."""
        assert self.process.stderr is not None
        with contextlib.suppress(OSError, ValueError):
            while data := os.read(self.process.stderr.fileno(), 65_536):
                self._printed += data

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.process.kill()
        self.process.wait(DEADLINE_S)

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE_S)


def spawn(
    db_path: Path, *args: str, env: Mapping[str, str] | None = None, max_files: int | None = None
) -> subprocess.Popen[bytes]:
    """Start the daemon's process on loopback and a free port unless `args` name others; does not wait for it.

    `max_files` is the most descriptors that it may have, its hard limit.
    """
    limited = () if max_files is None else ("sh", "-c", f'ulimit -n {max_files} && exec "$@"', "sh")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AUDIT_STREAM_")}
    ours = {"AUDIT_STREAM_CONFIG": os.devnull, "AUDIT_STREAM_VERIFY_INTERVAL_S": "0"}
    host = () if "--host" in args else ("--host", "127.0.0.1")
    port = () if "--port" in args else ("--port", "0")
    return subprocess.Popen(
        [*limited, sys.executable, "-m", "audit_daemon", *host, *port, "--db", str(db_path), *args],
        env=clean | ours | dict(env or {}),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def wait_until_listening(process: subprocess.Popen[bytes]) -> DaemonProcess:
    """Read the log until the daemon says where it listens; AssertionError with the log when it does not come."""
    assert process.stderr is not None
    lines: list[dict[str, Any]] = []
    pending = b""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        ready, _, _ = select.select([process.stderr], [], [], 0.2)
        data = os.read(process.stderr.fileno(), 65_536) if ready else b""
        if ready and not data:
            break
        *complete, pending = (pending + data).split(b"\n")
        for line in complete:
            entry = json.loads(line) if line.startswith(b"{") else {"text": line.decode()}
            lines.append(entry)
            if entry.get("event") == "listening":
                return DaemonProcess(process, entry["url"], lines)
    process.kill()
    process.wait()
    raise AssertionError(f"the daemon did not start: {lines} {pending!r}")


@contextmanager
def start_daemon(
    db_path: Path, *args: str, env: Mapping[str, str] | None = None, max_files: int | None = None
) -> Iterator[DaemonProcess]:
    """A daemon that listens; stopped on exit, whatever the test did to it."""
    process = spawn(db_path, *args, env=env, max_files=max_files)
    try:
        yield wait_until_listening(process)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stderr is not None:
            process.stderr.close()
