"""What the figures depend on besides the code: the machine, the disk and the versions."""

import os
import platform
import sqlite3
import subprocess
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median, quantiles

OURS = ["audit-stream", "litestar", "uvicorn", "uvloop", "httptools", "msgspec", "textual"]
PEERS = ["audit-stream", "fastapi", "pydantic", "sse-starlette", "uvicorn", "uvloop", "httptools"]
FSYNCS = 200
FSYNC_BYTES = 4096
SAME_MACHINE = ("CPU", "Memory", "Kernel", "Database's filesystem")  # a change of these makes results incomparable


def describe(directory: Path, peer_python: Path) -> dict[str, str]:
    """Facts in the order to show them; `directory` is where the databases will be."""
    load_1min = os.getloadavg()[0]
    return {
        "CPU": f"{_cpu_model()}, {len(os.sched_getaffinity(0))} cores",
        "Memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "Kernel": f"{platform.system()} {platform.release()}",
        "Database's filesystem": _filesystem(directory),
        "fdatasync of 4 KiB": "median {:.2f} ms, p99 {:.2f} ms".format(*fsync_ms(directory)),
        "Load average before": f"{load_1min:.2f}" + (" (not idle: figures are noisy)" if load_1min > 0.5 else ""),
        "This daemon": f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {_versions(OURS)}",
        "0.1.0": _peer_versions(peer_python),
        "Load": _wrk_version(),
    }


def commit(root: Path) -> str:
    """The checkout's commit, and whether the measured code differs from it."""
    git = ["git", "-C", str(root)]
    head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    changes = subprocess.run(
        [*git, "status", "--porcelain", "--", "common", "daemon", "tui"], capture_output=True, text=True, check=False
    )
    return (head.stdout.strip() or "no commit") + (" with uncommitted changes" if changes.stdout.strip() else "")


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() in {"model name", "Model"}:
            return value.strip()
    return platform.machine()


def _filesystem(directory: Path) -> str:
    """The type of the innermost mount that holds the directory."""
    found = ("", "unknown")
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mount, kind, *_ = line.split()
        if directory.resolve().is_relative_to(mount) and len(mount) >= len(found[0]):
            found = (mount, kind)
    return found[1]


def fsync_ms(directory: Path) -> tuple[float, float]:
    """Median and p99 of an fdatasync of 4 KiB behind the end of a file."""
    path = directory / "fsync"
    times_ms = []
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        for _ in range(FSYNCS):
            os.write(descriptor, bytes(FSYNC_BYTES))
            began = time.perf_counter()
            os.fdatasync(descriptor)
            times_ms.append((time.perf_counter() - began) * 1e3)
    finally:
        os.close(descriptor)
        path.unlink()
    return median(times_ms), quantiles(times_ms, n=100)[98]


def _versions(names: list[str]) -> str:
    return ", ".join(f"{name} {version(name)}" for name in names)


def _peer_versions(python: Path) -> str:
    code = (
        "import platform; from importlib.metadata import version; "
        f"print('Python ', platform.python_version(), *[', ' + n + ' ' + version(n) for n in {PEERS!r}], sep='')"
    )
    return subprocess.run([str(python), "-I", "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def _wrk_version() -> str:
    banner = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False).stdout  # -v exits with 1
    return " ".join(banner.split()[:2])
