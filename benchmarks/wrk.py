"""Closed-loop load from `wrk`."""

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import msgspec

SCRIPT = Path(__file__).with_name("load.lua")
INSTALL = "wrk is missing. Debian and Ubuntu: apt-get install wrk; macOS: brew install wrk."
TIMEOUT_S = 30  # above the slowest answer of either side, so that a slow answer is measured and not dropped
MARK = "RESULT "


class WrkError(Exception):
    """wrk is missing, or part of its load was refused or cut off, so that its figures mean nothing."""


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What one run of wrk measured; latencies over all connections."""

    requests: int
    duration_s: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    refused: int
    broken: int

    @property
    def per_second(self) -> float:
        """Answered requests per second."""
        return self.requests / self.duration_s


def require() -> str:
    """The path of wrk, or a WrkError that says how to install it."""
    path = shutil.which("wrk")
    if path is None:
        raise WrkError(INSTALL)
    return path


def write_requests(path: Path, requests: Iterable[tuple[str, str, bytes]]) -> Path:
    """Write (method, path, body) triples as the file that load.lua replays; a body must not hold a line break."""
    with path.open("wb") as file:
        for method, target, body in requests:
            file.write(f"{method} {target} ".encode() + body + b"\n")
    return path


def load(port: int, requests: Path, *, connections: int, seconds: int, threads: int = 1) -> Load:
    """Replay the requests over so many connections, each sending the next as soon as the last is answered."""
    command = [
        *(require(), f"-t{threads}", f"-c{connections}", f"-d{seconds}s", f"--timeout={TIMEOUT_S}s"),
        *("-s", str(SCRIPT), f"http://127.0.0.1:{port}", "--", str(requests)),
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    marked = [line for line in run.stdout.splitlines() if line.startswith(MARK)]
    if not marked:
        raise WrkError(f"wrk gave no result:\n{run.stdout}{run.stderr}")
    result = msgspec.json.decode(marked[0].removeprefix(MARK), type=Load)
    if result.refused or result.broken or not result.requests:
        raise WrkError(f"{result.refused} requests refused and {result.broken} broken, of {result.requests}")
    return result
