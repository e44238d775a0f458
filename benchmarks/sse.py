"""GET /stream: many subscribers at a steady rate, and a few that stop reading for a while."""

import select
import subprocess
import sys
import time
from array import array
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import msgspec

from benchmarks import bodies
from benchmarks.bench import Bench, say
from benchmarks.http_client import request
from benchmarks.poster import Post, post_at_rate
from benchmarks.report import Row, Section
from benchmarks.servers import Server
from benchmarks.subscribers import Seen

ROOT = Path(__file__).parent.parent
POST_PATIENCE_S = 5.0  # for POSTs still unanswered when the last one was due
GRACE_S = 5.0  # for messages still missing after that
MARKER_EVERY_S = 0.2
BUCKET_S = 1e-4
DELAY_TARGET_MS = 100
SHARE_TARGET = 100


class SubscribersError(Exception):
    """The process with the subscribers ended, or never got what a server should have sent."""


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """One run against one side."""

    share_percent: float  # of the messages that every subscriber should have got
    p99_delay_ms: float  # from a POST's due time to its message's receipt, over what was delivered
    posts_answered_percent: float
    client_cores: float
    poster_cores: float
    catch_up_s: float = 0.0  # after a stall, from reading on to the last message


class Subscribers:
    """The process that holds the subscribers, driven over its stdin."""

    def __init__(self, process: subprocess.Popen[str], server: Server, output: Path) -> None:
        self._process = process
        self._server = server
        self._output = output

    def wait_until_ready(self) -> int:
        """Post marker events until every subscriber has received one; the id of the last marker."""
        self._expect("connected")
        marker = self._post_marker()
        while not self._readable(MARKER_EVERY_S):
            marker = self._post_marker()
        self._expect("ready")
        return marker

    def tell(self, command: str) -> None:
        """Send one command."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()

    def finish(self, last_id: int) -> tuple[Seen, float]:
        """Let them read until that event or for the grace time: what they saw, and the CPU seconds it took."""
        self.tell(f"until {last_id} {time.monotonic() + GRACE_S}")
        cpu_s = float(self._line())
        self._process.wait()
        return Seen.read(self._output), cpu_s

    def _post_marker(self) -> int:
        return int(request(self._server.port, "POST", "/events", bodies.recorded()[0])["event_id"])

    def _readable(self, timeout_s: float) -> bool:
        assert self._process.stdout is not None
        return bool(select.select([self._process.stdout], [], [], timeout_s)[0])

    def _expect(self, word: str) -> None:
        if (line := self._line()) != word:
            raise SubscribersError(f"expected {word!r}, got {line!r}")

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def measure(bench: Bench) -> Section:
    """Share delivered and delay with many subscribers; share delivered to readers that stall."""
    scale = bench.scale
    steady: dict[str, list[Stream]] = {"ours": [], "peer": []}
    stalled: dict[str, list[Stream]] = {"ours": [], "peer": []}
    for _ in range(scale.stream_rounds):
        for side in steady:
            steady[side].append(_steady(bench, side))
            say(f"{scale.subscribers} subscribers, {side}: {steady[side][-1]}")
        for side in stalled:
            stalled[side].append(_stalled(bench, side))
            say(f"{scale.stalled_readers} stalled readers, {side}: {stalled[side][-1]}")
    many = f"{scale.subscribers} subscribers, {scale.stream_events_per_second:,} events/s"
    few = f"{scale.stalled_readers} readers that stall {scale.stall_s} s, {scale.stalled_events:,} events"
    return Section(
        title="Live streams: GET /stream",
        rows=[
            _row(f"{many}: delivered", "%", steady, "share_percent", min_target=SHARE_TARGET),
            _row(
                f"{many}: p99 delay", "ms", steady, "p99_delay_ms", max_target=DELAY_TARGET_MS, higher_is_better=False
            ),
            _row(f"{many}: POSTs answered in time", "%", steady, "posts_answered_percent"),
            _row(f"{few}: delivered", "%", stalled, "share_percent", min_target=SHARE_TARGET),
            _row(f"{few}: last message after reading on", "s", stalled, "catch_up_s", higher_is_better=False),
        ],
        notes=[
            f"Delivered: share of {scale.subscribers} x {scale.stream_s * scale.stream_events_per_second:,} messages "
            f"received at most {GRACE_S:g} s after the POSTs ended. The delay counts from the POST's due time "
            "in an open loop to the read that completed the message, over what was delivered: what 0.1.0 loses "
            "does not show in its delay.",
            f"All subscribers live in one process (`subscribers.py`), which took {_cores(steady, 'client_cores')}; "
            f"the POSTs took {_cores(steady, 'poster_cores')}. "
            "Its own lateness counts against the server.",
            "The stalling readers have a receive buffer of 64 KiB, so that the kernel does not hold for them "
            "what the server should.",
        ],
    )


def _row(name: str, unit: str, runs: dict[str, list[Stream]], field: str, **options: float | bool) -> Row:
    ours, peer = ([float(getattr(run, field)) for run in runs[side]] for side in ("ours", "peer"))
    return msgspec.convert({"name": name, "unit": unit, "ours": ours, "peer": peer, **options}, Row)


def _cores(runs: dict[str, list[Stream]], field: str) -> str:
    ours, peer = (median(getattr(run, field) for run in runs[side]) for side in ("ours", "peer"))
    return f"{ours:.2f} of a core with ours and {peer:.2f} with 0.1.0"


def _steady(bench: Bench, side: str) -> Stream:
    scale = bench.scale
    with bench.fresh(side) as server, _subscribers(bench, server, scale.subscribers) as subscribers:
        marker = subscribers.wait_until_ready()
        began, cpu_began = time.monotonic(), time.process_time()
        posts = post_at_rate(
            server.port,
            bodies.recorded(),
            per_second=scale.stream_events_per_second,
            count=scale.stream_events_per_second * scale.stream_s,
            patience_s=POST_PATIENCE_S,
        )
        poster_cores = (time.process_time() - cpu_began) / (time.monotonic() - began)
        seen, cpu_s = subscribers.finish(marker + len(posts))
        client_cores = cpu_s / (time.monotonic() - began)
    return _judge(posts, seen, marker, scale.subscribers, client_cores=client_cores, poster_cores=poster_cores)


def _stalled(bench: Bench, side: str) -> Stream:
    scale = bench.scale
    with (
        bench.fresh(side) as server,
        _subscribers(bench, server, scale.stalled_readers, "--small-buffers") as subscribers,
    ):
        marker = subscribers.wait_until_ready()
        subscribers.tell("stall")
        began = time.monotonic()
        posts = post_at_rate(
            server.port,
            bodies.recorded(),
            per_second=scale.stalled_events / scale.stall_s,
            count=scale.stalled_events,
            patience_s=POST_PATIENCE_S,
        )
        time.sleep(max(0.0, began + scale.stall_s - time.monotonic()))  # the stall is a length of time
        read_on = time.monotonic()
        subscribers.tell("go")
        seen, _ = subscribers.finish(marker + len(posts))
    catch_up_s = max(0.0, max(seen.times) - read_on)
    return _judge(posts, seen, marker, scale.stalled_readers, catch_up_s=catch_up_s)


@contextmanager
def _subscribers(bench: Bench, server: Server, count: int, *flags: str) -> Iterator[Subscribers]:
    output = bench.sides.new_path(".seen")
    command = [sys.executable, "-m", "benchmarks.subscribers", *flags]
    command += ["--port", str(server.port), "--count", str(count), "--output", str(output)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Subscribers(process, server, output)
        finally:
            process.kill()


def _judge(
    posts: list[Post],
    seen: Seen,
    marker: int,
    subscribers: int,
    *,
    client_cores: float = 0.0,
    poster_cores: float = 0.0,
    catch_up_s: float = 0.0,
) -> Stream:
    """Count each event once a subscriber, and the delays of those whose POST was answered with an id."""
    last = marker + len(posts)
    due = array("d", [0.0]) * (last + 1)
    for post in posts:
        if post.event_id is not None and post.event_id <= last:
            due[post.event_id] = post.due
    delivered = 0
    buckets: defaultdict[int, int] = defaultdict(int)
    highest = [marker] * subscribers
    for connection, first_id, last_id, at in zip(seen.connections, seen.firsts, seen.lasts, seen.times, strict=True):
        new = range(max(first_id, highest[connection] + 1), min(last_id, last) + 1)
        delivered += len(new)
        highest[connection] = max(highest[connection], last_id)
        for event_id in new:
            if due[event_id]:
                buckets[int((at - due[event_id]) / BUCKET_S)] += 1
    answered = sum(post.answered is not None for post in posts)
    return Stream(
        share_percent=10_000 * delivered // (len(posts) * subscribers) / 100,  # rounded down: 100 means all
        p99_delay_ms=_percentile_s(buckets, 0.99) * 1e3,
        posts_answered_percent=100 * answered / len(posts),
        client_cores=client_cores,
        poster_cores=poster_cores,
        catch_up_s=catch_up_s,
    )


def _percentile_s(buckets: dict[int, int], share: float) -> float:
    """The upper edge of the bucket in which that share of the counts is reached; 0 without any."""
    missing = share * sum(buckets.values())
    for bucket in sorted(buckets):
        missing -= buckets[bucket]
        if missing <= 0:
            return (bucket + 1) * BUCKET_S
    return 0.0
