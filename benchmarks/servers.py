"""Start and stop this daemon and the peer, each as a user would: a process of its own on a port of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from benchmarks import bodies
from benchmarks.http_client import request

PEER_VERSION = "0.1.0"
PEER_LAUNCHER = Path(__file__).with_name("peer_launcher.py")
READY_TIMEOUT_S = 30.0
FILL_TIMEOUT_S = 600.0
STOP_TIMEOUT_S = 10.0
POLL_S = 0.001
HEALTHZ = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


class ServerError(Exception):
    """A server did not start, or ended by itself; carries the end of its log."""


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """A running server that answered GET /healthz with 200."""

    port: int
    process: subprocess.Popen[bytes]
    start_s: float  # from spawn to that answer

    @property
    def pid(self) -> int:
        """The main process."""
        return self.process.pid


class Sides:
    """Starts either side; `work` is the directory for databases, logs and request files."""

    def __init__(self, *, ours: Sequence[str], peer_venv: Path, work: Path) -> None:
        self.work = work
        self._ours = list(ours)
        self.peer_python = peer_venv / "bin" / "python"
        self._started = 0

    def new_path(self, suffix: str) -> Path:
        """A path in the work directory that nothing else uses."""
        self._started += 1
        return self.work / f"{self._started:03d}{suffix}"

    @contextmanager
    def ours(self, database: Path | None = None, *, kill: bool = False) -> Iterator[Server]:
        """Our daemon on that database, or on a new one that is deleted afterwards; `kill` ends it by SIGKILL."""
        path = database or self.new_path(".db")
        port = _free_port()
        arguments = ["--host", "127.0.0.1", "--port", str(port), "--db", str(path)]
        try:
            with self._run([*self._ours, *arguments], port, READY_TIMEOUT_S, kill=kill) as server:
                yield server
        finally:
            if database is None:
                for file in path.parent.glob(f"{path.name}*"):
                    file.unlink()

    @contextmanager
    def peer(self, *, events: int = 0) -> Iterator[Server]:
        """The peer, empty or filled with so many events before it serves."""
        port = _free_port()
        command = [str(self.peer_python), "-I"]  # -I: never this checkout's package of the same name
        if events:
            cycle = self.new_path(".jsonl")
            cycle.write_bytes(b"\n".join(bodies.cycle()))
            command += [str(PEER_LAUNCHER), "--port", str(port), "--events", str(events), "--bodies", str(cycle)]
        else:
            command += ["-m", "uvicorn", "audit_stream.app:app", "--host", "127.0.0.1", "--port", str(port)]
            command += ["--no-access-log", "--log-level", "warning"]
        with self._run(command, port, FILL_TIMEOUT_S if events else READY_TIMEOUT_S) as server:
            yield server

    @contextmanager
    def _run(self, command: list[str], port: int, ready_timeout_s: float, *, kill: bool = False) -> Iterator[Server]:
        log = self.new_path(".log")
        with log.open("wb") as output:
            began = time.monotonic()
            process = subprocess.Popen(
                command, cwd=self.work, env=_environment(), stdout=output, stderr=output, start_new_session=True
            )
        try:
            _wait_until_ready(process, port, began + ready_timeout_s, log)
            yield Server(port=port, process=process, start_s=time.monotonic() - began)
            if process.poll() is not None:
                raise ServerError(f"ended by itself with {process.returncode}: {_end_of(log)}")
        finally:
            _stop(process, kill=kill)


def load_batches(port: int, count: int) -> None:
    """Append so many events (a multiple of the cycle) to this daemon, one full batch after the other."""
    body = bodies.batch(bodies.CYCLE)
    for _ in range(count // bodies.CYCLE):
        request(port, "POST", "/events/batch", body)


def make_peer_venv(path: Path) -> Path:
    """The peer's own virtual environment, made on first use."""
    python = path / "bin" / "python"
    probe = [
        str(python),
        "-I",
        "-c",
        f"import importlib.metadata as m; assert m.version('audit-stream') == {PEER_VERSION!r}",
    ]
    if python.exists() and subprocess.run(probe, capture_output=True, check=False).returncode == 0:
        return path
    print(f"installing audit-stream {PEER_VERSION} ...", file=sys.stderr)
    venv.create(path, with_pip=True, clear=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, f"audit-stream=={PEER_VERSION}"], check=True)
    return path


def _environment() -> dict[str, str]:
    """Ours without the variables that would configure either side."""
    drop = {"HOST", "PORT", "PYTHONPATH"}
    return {
        name: value for name, value in os.environ.items() if name not in drop and not name.startswith("AUDIT_STREAM_")
    }


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, deadline: float, log: Path) -> None:
    while not (answer := _healthz(port)).startswith("HTTP/1.1 200"):
        if process.poll() is not None:
            raise ServerError(f"ended with {process.returncode} before it was ready: {_end_of(log)}")
        if time.monotonic() > deadline:
            raise ServerError(f"was not ready in time; GET /healthz: {answer!r}; log: {_end_of(log)}")
        time.sleep(POLL_S)


def _healthz(port: int) -> str:
    """The beginning of the answer, or why there was none."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(HEALTHZ)
            return connection.recv(4096).decode(errors="replace")
    except OSError as failure:
        return str(failure)


def _stop(process: subprocess.Popen[bytes], *, kill: bool) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT_S)
    with suppress(ProcessLookupError):  # also whatever it started itself
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:] or "(nothing logged)"
