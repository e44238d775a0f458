"""The console beside the daemon, in a real terminal: `python -m benchmarks.console [--seconds N]` prints a table.

In tmux at 160x45. First frame and events: the time from the command until the screen shows them, polled every few
milliseconds. Processor time: /proc/PID/stat over the period (10 ms ticks), in percent of one core. Keys: the time from
tmux taking the key until the screen has changed, with two tmux commands (some 5 ms) and the polling in it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx

from benchmarks.bodies import recorded
from tests.daemon_process import start_daemon
from tests.terminal import Terminal, terminal

_TICKS = os.sysconf("SC_CLK_TCK")
_CONSOLE = (sys.executable, "-m", "audit_tui")


def main() -> int:
    """Measure, print; 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.console")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each period (default 60)")
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as directory, start_daemon(Path(directory) / "audit.db") as daemon:
        _post(daemon.url, 100_000)
        print("| | |\n|---|---|")
        starts = [_start(daemon.url) for _ in range(5)]
        print(f"| first frame, median of 5 | {statistics.median(frame for frame, _ in starts):.2f} s |")
        print(f"| first events, median of 5 | {statistics.median(shown for _, shown in starts):.2f} s |")
        with terminal((*_CONSOLE, daemon.url), width=160, height=45) as term:
            term.wait_for("VERIFIED", deadline_s=60)
            print(f"| idle | {_busy(term.pid, seconds):.1f} % of a core |")
            for rate in (100, 2_000, 5_000):
                _rate(term, daemon.url, rate, seconds)
            print(f"| memory afterwards | {_rss_mb(term.pid):.0f} MB |")
    return 0


def _rate(term: Terminal, url: str, rate: int, seconds: float) -> None:
    before = _received(term)
    poster = threading.Thread(target=_post, args=(url, int(rate * seconds), rate))
    poster.start()
    delays: list[float] = []
    busy = _busy(term.pid, seconds * 0.6)  # without keys: each opens and draws a screen
    delays += _key_delays(term, seconds * 0.3)
    poster.join()
    term.keys("End")
    expected = before + int(rate * seconds)
    term.wait_for(lambda _: _received(term) >= expected, deadline_s=30)
    p95 = statistics.quantiles(delays, n=20)[-1] * 1000
    print(
        f"| {rate:,} events/s for {seconds:.0f} s | {busy:.1f} % of a core, key to screen p95 {p95:.0f} ms, "
        f"{_received(term) - before:,} of {int(rate * seconds):,} counted, {_rss_mb(term.pid):.0f} MB |"
    )


def _key_delays(term: Terminal, seconds: float) -> list[float]:
    """Open and close the list of daemons: both change the screen whatever comes in."""
    delays: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for key, there in (("d", True), ("Escape", False)):
            started = time.monotonic()
            term.keys(key)
            while ("address of a daemon" in term.screen()) is not there:
                time.sleep(0.002)
            delays.append(time.monotonic() - started)
            time.sleep(0.2)
    return delays


def _start(url: str) -> tuple[float, float]:
    started = time.monotonic()
    with terminal((*_CONSOLE, url), width=160, height=45) as term:
        term.wait_for("payload")
        frame = time.monotonic() - started
        term.wait_for(r"^[│┊] +\d+ ")
        return frame, time.monotonic() - started


def _received(term: Terminal) -> int:
    found = [word for word in term.screen().split("·") if "received" in word]
    return int(found[-1].split()[0].replace(",", "")) if found else -1


def _busy(pid: int, seconds: float) -> float:
    before = _ticks(pid)
    time.sleep(seconds)
    return 100 * (_ticks(pid) - before) / _TICKS / seconds


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _rss_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def _post(url: str, count: int, rate: int = 0) -> None:
    """So many events in batches; at `rate` a second, ten batches a second."""
    size = max(1, rate // 10) if rate else 1_000
    samples = recorded()
    due = time.monotonic()
    with httpx.Client() as client:
        for start in range(0, count, size):
            body = b"\n".join(samples[number % len(samples)] for number in range(start, min(count, start + size)))
            client.post(f"{url}/events/batch", content=body, headers={"Content-Type": "application/x-ndjson"})
            due += 0.1 if rate else 0
            time.sleep(max(0.0, due - time.monotonic()) if rate else 0)


if __name__ == "__main__":
    sys.exit(main())
