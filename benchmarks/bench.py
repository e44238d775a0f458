"""What every measurement is given: the two sides, the scale, and servers that hold the large store."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from benchmarks.report import Section
from benchmarks.servers import Server, Sides, load_batches


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """How much is measured; event counts are multiples of 10,000."""

    events: int
    few_events: int
    rounds: int
    post_s: int
    get_s: int
    steady_s: float  # how long a gentle load runs, with and without a walk
    posts_per_second: int
    subscribers: int
    stream_rounds: int
    stream_events_per_second: int
    stream_s: int
    stalled_readers: int
    stalled_events: int
    stall_s: int
    starts: int
    console_s: float  # at each rate
    console_idle_s: float
    console_keys_s: float  # of pressing keys at each rate
    console_filters: int
    console_page_rows: int


FULL = Scale(
    events=1_000_000,
    few_events=10_000,
    rounds=3,
    post_s=6,
    get_s=3,
    steady_s=5,
    posts_per_second=200,
    subscribers=500,
    stream_rounds=2,
    stream_events_per_second=1_000,
    stream_s=10,
    stalled_readers=10,
    stalled_events=10_000,
    stall_s=7,
    starts=5,
    console_s=60,
    console_idle_s=30,
    console_keys_s=20,
    console_filters=12,
    console_page_rows=100_000,
)
QUICK = Scale(
    events=50_000,
    few_events=10_000,
    rounds=1,
    post_s=1,
    get_s=1,
    steady_s=0.5,
    posts_per_second=200,
    subscribers=25,
    stream_rounds=1,
    stream_events_per_second=1_000,
    stream_s=1,
    stalled_readers=5,
    stalled_events=1_000,
    stall_s=1,
    starts=2,
    console_s=3,
    console_idle_s=3,
    console_keys_s=3,
    console_filters=5,
    console_page_rows=2_000,
)


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Of one process, in MB (10^6 bytes)."""

    rss_mb: float
    pss_mb: float
    peak_mb: float


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """A server with the large store, and what it took in memory as soon as it was loaded."""

    server: Server
    memory: Memory

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.server.port


class Bench:
    """One run. Servers with the large store are started on first use and shared by the measurements that only read."""

    def __init__(self, sides: Sides, scale: Scale) -> None:
        self.sides = sides
        self.scale = scale
        self._database = sides.work / "large.db"
        self._large: dict[str, Loaded] = {}
        self._running = ExitStack()

    def large(self, side: str) -> Loaded:
        """The server of that side ("ours" or "peer") with the large store."""
        if side not in self._large:
            say(f"loading {self.scale.events:,} events, {side}")
            if side == "ours":
                server = self._running.enter_context(self.sides.ours(self._database))
                load_batches(server.port, self.scale.events)
            else:
                server = self._running.enter_context(self.sides.peer(events=self.scale.events))
            self._large[side] = Loaded(server=server, memory=memory_of(server.pid))
        return self._large[side]

    def stored_database(self) -> Path:
        """Our large store, with no daemon on it."""
        self.large("ours")
        self.close()
        return self._database

    def close(self) -> None:
        """Stop the servers with the large store; our database stays."""
        self._large.clear()
        self._running.close()

    @contextmanager
    def fresh(self, side: str) -> Iterator[Server]:
        """A new server of that side with an empty store."""
        with self.sides.ours() if side == "ours" else self.sides.peer() as server:
            yield server


Measurement = Callable[[Bench], Section]


def memory_of(pid: int) -> Memory:
    """What the kernel says now: RSS and PSS from smaps_rollup, the highest RSS so far from status."""
    rollup = _kilobytes(Path(f"/proc/{pid}/smaps_rollup"))
    peak = _kilobytes(Path(f"/proc/{pid}/status"))["VmHWM"]
    return Memory(rss_mb=rollup["Rss"] * 1.024e-3, pss_mb=rollup["Pss"] * 1.024e-3, peak_mb=peak * 1.024e-3)


def _kilobytes(path: Path) -> dict[str, int]:
    lines = (line.split() for line in path.read_text().splitlines())
    return {words[0].rstrip(":"): int(words[1]) for words in lines if words[-1] == "kB"}


def say(text: str) -> None:
    """Progress, on stderr so that stdout holds only the result."""
    print(text, file=sys.stderr, flush=True)
