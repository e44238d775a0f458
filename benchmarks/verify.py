"""GET /verify over the large store, and what producers notice of it."""

import threading
import time
from collections.abc import Callable
from statistics import quantiles

from benchmarks import bodies
from benchmarks.bench import Bench, say
from benchmarks.http_client import UnexpectedAnswerError, request
from benchmarks.poster import Post, post_at_rate
from benchmarks.report import Row, Section

WALL_RATIO_TARGET = 4
SLOWDOWN_TARGET = 2
ATTEMPTS = 5
JOINED = 0.9  # a GET that took less than this share of the walk's own duration joined a walk under way


def measure(bench: Bench) -> Section:
    """Wall time of a walk, then p99 of a gentle load of POSTs, idle and while walks run."""
    ports = {side: bench.large(side).port for side in ("ours", "peer")}
    walls_s: dict[str, list[float]] = {"ours": [], "peer": []}
    idle_ms: dict[str, list[float]] = {"ours": [], "peer": []}
    busy_ms: dict[str, list[float]] = {"ours": [], "peer": []}
    for _ in range(bench.scale.rounds):
        for side, port in ports.items():
            walls_s[side].append(_walk(port, bench.scale.events))
            say(f"verify, {side}: {walls_s[side][-1]:.2f} s")
    resent: dict[str, list[float]] = {"ours": [], "peer": []}
    for _ in range(bench.scale.rounds):
        for side, port in ports.items():
            idle_ms[side].append(_p99_idle(bench, port))
            posts = _posts_during_walks(bench, port)
            busy_ms[side].append(_p99_ms(posts))
            resent[side].append(sum(post.sendings > 1 for post in posts))
            say(f"POST p99, {side}: idle {idle_ms[side][-1]:.1f} ms, during verify {busy_ms[side][-1]:.1f} ms")
    slowdown = {side: [busy / idle for busy, idle in zip(busy_ms[side], idle_ms[side], strict=True)] for side in ports}
    events, rate = f"{bench.scale.events:,} events", f"{bench.scale.posts_per_second}/s"
    return Section(
        title="Verification: GET /verify",
        rows=[
            Row(
                name=f"walk over {events}",
                unit="s",
                ours=walls_s["ours"],
                peer=walls_s["peer"],
                higher_is_better=False,
                ratio_target=WALL_RATIO_TARGET,
            ),
            Row(
                name=f"POST p99 at {rate}, idle",
                unit="ms",
                ours=idle_ms["ours"],
                peer=idle_ms["peer"],
                higher_is_better=False,
            ),
            Row(
                name=f"POST p99 at {rate}, during walks",
                unit="ms",
                ours=busy_ms["ours"],
                peer=busy_ms["peer"],
                higher_is_better=False,
            ),
            Row(
                name="… during walks / idle",
                unit="times",
                ours=slowdown["ours"],
                peer=slowdown["peer"],
                higher_is_better=False,
                max_target=SLOWDOWN_TARGET,
            ),
            Row(
                name="POSTs during walks that were sent again, their connection having been closed",
                unit="POSTs",
                ours=resent["ours"],
                peer=resent["peer"],
                higher_is_better=False,
            ),
        ],
        notes=[
            f"The POSTs are an open loop of {rate} with a due time each, so that a stalled server cannot hide "
            f"its stall; walks follow one another for at least {bench.scale.steady_s:g} s. The client and "
            "the walk share the machine's cores with the daemon.",
            "A walk must answer `valid`; one that joined a walk already under way is measured again.",
        ],
    )


def _walk(port: int, events: int) -> float:
    """Seconds that GET /verify took for a walk of its own."""
    for _ in range(ATTEMPTS):
        began = time.monotonic()
        verdict = request(port, "GET", "/verify")
        wall_s = time.monotonic() - began
        if verdict["valid"] is not True or verdict["checked"] < events:
            raise UnexpectedAnswerError(f"verdict {verdict}")
        if wall_s * 1e3 >= JOINED * verdict.get("duration_ms", 0):
            return wall_s
    raise UnexpectedAnswerError("every GET /verify joined a walk already under way")


def _p99_idle(bench: Bench, port: int) -> float:
    rate = bench.scale.posts_per_second
    posts = post_at_rate(port, bodies.recorded(), per_second=rate, count=int(bench.scale.steady_s * rate))
    return _p99_ms(posts)


def _posts_during_walks(bench: Bench, port: int) -> list[Post]:
    """The POSTs that were due while a walk ran."""
    spans: list[tuple[float, float]] = []
    walker = _Worker(lambda: _walk_for(port, bench.scale.events, bench.scale.steady_s, spans))
    walker.start()
    rate = bench.scale.posts_per_second
    posts = post_at_rate(port, bodies.recorded(), per_second=rate, go_on=walker.is_alive)
    walker.join_or_raise()
    return [post for post in posts if any(began <= post.due <= ended for began, ended in spans)]


def _walk_for(port: int, events: int, at_least_s: float, spans: list[tuple[float, float]]) -> None:
    deadline = time.monotonic() + at_least_s
    while not spans or time.monotonic() < deadline:
        began = time.monotonic()
        _walk(port, events)
        spans.append((began, time.monotonic()))


def _p99_ms(posts: list[Post]) -> float:
    now = time.monotonic()
    return quantiles([post.latency_s(now) * 1e3 for post in posts], n=100)[98]


class _Worker(threading.Thread):
    """A thread whose failure reaches the one that joins it."""

    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self._failure: Exception | None = None

    def run(self) -> None:
        """Do the work and keep its failure."""
        try:
            self._work()
        except Exception as failure:  # noqa: BLE001 - handed to the joining thread
            self._failure = failure

    def join_or_raise(self) -> None:
        """Wait for the end of the work."""
        self.join()
        if self._failure is not None:
            raise self._failure
