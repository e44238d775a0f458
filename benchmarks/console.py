"""The console beside our daemon, in a real terminal (tmux): how soon it shows events, what it costs, what it misses."""

import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import quantiles

import msgspec

from audit_stream.timestamps import time_ms_or_none
from benchmarks.bench import Bench, memory_of, say
from benchmarks.http_client import event_count, request
from benchmarks.pane import POLL_S, Look, Pane, PaneError, looking_at
from benchmarks.report import Row, Section
from benchmarks.servers import Server, load_batches
from tests.terminal import Terminal, TmuxError, terminal

ROOT = Path(__file__).parent.parent
WIDTH, HEIGHT = 160, 45
FIRST_EVENTS = 10_000
RING = 50_000
CATCH_UP_S = 10.0
"""How long after the last POST every event must have been counted."""
POURED_PER_S = 8_000
"""The rate of what only has to have gone through."""
STARTS = 5
PRESS_AGAIN_S = 0.05
"""After so long a reader presses a key that had no effect again: older events were still on their way."""
FILTERS = {
    "kind:request_denied": "request_denied",
    "severity:notice": "note",
    "kind:attestation_tampered": "attestation_tampered",
    "source:data-contract-registry": "data-contract-registry",
    "source:oldest-in-the-ring": "oldest-in-the-ring",
}
"""And what stands in each row that passes. Of the last there are a few events, which are found after all others."""

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_RECEIVED = re.compile(r"([\d,]+) received")
_jitter = random.Random(1)


class ConsoleError(Exception):
    """The console did not do what is measured; carries its screen."""


class Watched(msgspec.Struct, frozen=True):
    """A console on a daemon, and the connection to its terminal."""

    server: Server
    term: Terminal
    pane: Pane

    def cpu_percent(self, seconds: float) -> float:
        """What it takes of one core from now on, nobody looking meanwhile."""
        before, began = self._cpu_s(), time.monotonic()
        time.sleep(seconds)
        return 100 * (self._cpu_s() - before) / (time.monotonic() - began)

    def rss_mb(self) -> float:
        """What it takes in memory."""
        return memory_of(self.term.pid).rss_mb

    def received(self) -> int:
        """How many events its status bar has counted."""
        look = self.pane.wait(lambda look: any(map(_RECEIVED.search, look.lines)))
        return next(int(found[1].replace(",", "")) for line in look.lines if (found := _RECEIVED.search(line)))

    def _cpu_s(self) -> float:
        fields = Path(f"/proc/{self.term.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What one rate gave; `uncounted` are events that the status bar never counted."""

    per_s: int
    cpu_percent: float
    keys_ms: list[float]
    uncounted: int


class Delays(msgspec.Struct, frozen=True, kw_only=True):
    """Of changing the filter over a full ring."""

    rows_ms: list[float]
    keys_ms: list[float]


def measure(bench: Bench) -> Section:
    """Starts on the large store; then one console on a new one, from its first events to its last."""
    try:
        frames_s, events_s = _starts(bench)
        with bench.fresh("ours") as server:
            load_batches(server.port, FIRST_EVENTS)
            with _console(server) as watched:
                rows = _one_life(bench, watched)
    except (PaneError, TmuxError, AssertionError) as failure:
        raise ConsoleError(str(failure)) from failure
    start = f"start, {bench.scale.events:,} events on disk"
    return Section(
        title="The console",
        rows=[
            _row(f"{start}: first frame", "s", frames_s, 0.5),
            _row(f"{start}: first events on screen", "s", events_s, 1.0),
            *rows,
        ],
        notes=_notes(bench),
    )


def _one_life(bench: Bench, watched: Watched) -> list[Row]:
    scale, port = bench.scale, watched.server.port
    watched.pane.wait(lambda look: look.has("VERIFIED"))
    before = watched.received()
    idle = watched.cpu_percent(scale.console_idle_s)
    say(f"console: idle {idle:.2f}%")
    few, many, most = (_load(watched, per_s, scale.console_s, scale.console_keys_s) for per_s in (100, 2_000, 5_000))
    stamps_ms = _stamp_to_screen(watched, 100, scale.console_keys_s)
    oldest = [{"kind": "other", "source": "oldest-in-the-ring", "payload": {"n": n}} for n in range(5)]
    request(port, "POST", "/events/batch", msgspec.json.encode(oldest))
    _pour(watched, RING - 1_000)
    full_mb = watched.rss_mb()
    filters = _change_filters(watched, scale.console_filters)
    _pour(watched, scale.events - event_count(port))
    after_mb = watched.rss_mb()
    uncounted = _uncounted(watched, before + event_count(port) - FIRST_EVENTS)
    pages_ms = _page_up(watched, scale.console_page_rows)
    return [
        _row("idle: processor", "% of a core", [idle], 1.5),
        *_load_rows(few, 8, None, scale.console_s),
        *_load_rows(many, 20, 100, scale.console_s),
        *_load_rows(most, 50, 150, scale.console_s),
        _row("100 events/s: stamp to screen, p95", "ms", [_p95(stamps_ms)], 250),
        _row(f"RSS with the ring full ({RING:,})", "MB", [full_mb], 100),
        _row(f"RSS after {scale.events:,} events", "MB", [after_mb], 100),
        _row(f"events not counted, of {event_count(port) - FIRST_EVENTS:,} in all", "events", [uncounted], 0),
        _row("filter changed over a full ring: first rows, worst", "ms", [max(filters.rows_ms)], 100),
        _row("… a key pressed meanwhile, worst", "ms", [max(filters.keys_ms)], 100),
        _row(f"Page Up through {scale.console_page_rows:,} rows: p95", "ms", [_p95(pages_ms)]),
        _row(f"Page Up through {scale.console_page_rows:,} rows: worst", "ms", [max(pages_ms)], 150),
    ]


def _load_rows(load: Load, cpu_target: float, keys_target: float | None, seconds: float) -> list[Row]:
    name = f"{load.per_s:,} events/s for {seconds:g} s"
    return [
        _row(f"{name}: processor", "% of a core", [load.cpu_percent], cpu_target),
        _row(f"{load.per_s:,} events/s: key to screen, p95", "ms", [_p95(load.keys_ms)], keys_target),
        _row(f"{load.per_s:,} events/s: events not counted", "events", [load.uncounted], 0),
    ]


def _row(name: str, unit: str, ours: list[float], max_target: float | None = None) -> Row:
    return Row(name=name, unit=unit, ours=ours, higher_is_better=False, max_target=max_target)


def _notes(bench: Bench) -> list[str]:
    scale = bench.scale
    return [
        f"In tmux, {WIDTH}x{HEIGHT}, default settings. The screen is read over tmux's control mode every "
        f"{POLL_S * 1e3:.0f} ms, so delays are good to about 3 ms, and are what a person's terminal would have shown. "
        "A start counts from the exec of `python -m audit_tui` (page cache warm).",
        f"Processor: user and system time from /proc, in ticks of 10 ms, over {scale.console_s:g} s "
        f"(idle {scale.console_idle_s:g} s), following, with nobody looking. Events come in 20 batches a second (at "
        "100/s: 5 events each) from another process, which shares the cores with the daemon, tmux and the console.",
        f"Keys: for {scale.console_keys_s:g} s more at the same rate, moving up (which pauses), up and down while "
        "paused, and back to the live end; each until its effect is on the screen.",
        f"Not counted: the daemon's count against the status bar's, at most {CATCH_UP_S:.0f} s after the last POST. "
        "After each load the badge must say VERIFIED of every event, which it does only where each link was seen: none "
        "is missing in the ring. "
        "Memory is of one console that saw all of it.",
        "First rows: from Enter in the filter's bar until there are rows and all of them pass. Page Up: from the key "
        "until other rows are there, the daemon's answer included where one was needed; a page with a gap fails.",
    ]


# What is measured


@contextmanager
def _console(server: Server) -> Iterator[Watched]:
    command = [sys.executable, "-m", "audit_tui", f"http://127.0.0.1:{server.port}"]
    with terminal(command, width=WIDTH, height=HEIGHT, cwd=ROOT) as term, looking_at(term) as pane:
        yield Watched(server, term, pane)


def _starts(bench: Bench) -> tuple[list[float], list[float]]:
    """Seconds to the first frame and to the first events, of each start."""
    frames, events = [], []
    with bench.sides.ours(bench.stored_database()) as server:
        for _ in range(STARTS):
            with _console(server) as watched:
                frame = watched.pane.wait(lambda look: look.has("payload"))
                shown = watched.pane.wait(Look.ids)
                began = (watched.term.directory / "pid").stat().st_mtime - time.time() + time.monotonic()
            frames.append(frame.answered - began)
            events.append(shown.answered - began)
            say(f"console: first frame {frames[-1]:.3f} s, first events {events[-1]:.3f} s")
    return frames, events


def _load(watched: Watched, per_s: int, seconds: float, keys_s: float) -> Load:
    """Processor time first, then keys, while events come in at that rate; then what was counted."""
    before = watched.received()
    count = round(per_s * (seconds + keys_s + 2))
    with _feeding(watched.server, per_s, count):
        time.sleep(1)
        cpu_percent = watched.cpu_percent(seconds)
        keys_ms = _keys(watched.pane, keys_s)
    events = event_count(watched.server.port)
    watched.pane.wait(lambda look: look.has(f"VERIFIED {events:,} events"))  # or a link was not seen
    load = Load(per_s=per_s, cpu_percent=cpu_percent, keys_ms=keys_ms, uncounted=_uncounted(watched, before + count))
    say(f"console: {per_s:,}/s {cpu_percent:.1f}%, keys p95 {_p95(keys_ms):.0f} ms, {load.uncounted} not counted")
    return load


def _keys(pane: Pane, seconds: float) -> list[float]:
    """Milliseconds from each key to its effect on the screen."""
    delays: list[float] = []
    ends = time.monotonic() + seconds
    while time.monotonic() < ends or not delays:
        delays.append(pane.seconds_to("Up", lambda: pane.look().has("PAUSED")))
        for key, by in (("Up", -1), ("Up", -1), ("Down", 1), ("Up", -1)):
            _pause()
            expected = pane.cursor_line() + by
            delays.append(pane.seconds_to(key, partial(_cursor_is_at, pane, expected)))
        _pause()
        delays.append(pane.seconds_to("End", lambda: not pane.look().has("PAUSED")))
        _pause()
    return [delay * 1e3 for delay in delays]


def _pause() -> None:
    """Of no fixed length, so that keys meet the screen at any moment between two of its updates."""
    time.sleep(_jitter.uniform(0.03, 0.15))


def _stamp_to_screen(watched: Watched, per_s: int, seconds: float) -> list[float]:
    """Milliseconds from the daemon's stamp on each event until it is on the screen."""
    watched.pane.press("End")
    first = event_count(watched.server.port) + 1
    count = round(per_s * seconds)
    seen_ms: list[float] = []
    with _feeding(watched.server, per_s, count):
        while len(seen_ms) < count:
            look = watched.pane.wait(_has_id(first + len(seen_ms)))
            at_ms = (time.time() - time.monotonic() + look.answered) * 1e3
            seen_ms += [at_ms] * (look.ids()[-1] - first + 1 - len(seen_ms))
    stamps = _stamps_ms(watched.server.port, first, count)
    return [seen - stamp for seen, stamp in zip(seen_ms, stamps, strict=True)]


def _stamps_ms(port: int, first: int, count: int) -> list[int]:
    stamps: list[int] = []
    while len(stamps) < count:
        page = request(port, "GET", f"/events?since_id={first - 1 + len(stamps)}&limit=1000&order=asc")
        stamps += [time_ms_or_none(event["timestamp"]) or 0 for event in page]
    return stamps[:count]


def _change_filters(watched: Watched, count: int) -> Delays:
    """Change it so many times; as soon as rows are there, while the rest of the ring is gone through, press a key."""
    pane = watched.pane
    rows_ms, keys_ms = [], []
    for number in range(count):
        text, word = list(FILTERS.items())[number % len(FILTERS)]
        _type_filter(pane, text)
        entered = pane.press("Enter")
        look = pane.wait(_only_rows_with(word))
        rows_ms.append((look.answered - entered) * 1e3)
        keys_ms.append(pane.seconds_to("Up", lambda: pane.look().has("PAUSED")) * 1e3)
        pane.press("End")
        pane.wait(lambda look: not look.has("PAUSED"))
    _type_filter(pane, "")
    pane.press("Enter")
    pane.wait(lambda look: not look.has(" shown"))
    say(f"console: filters: rows {max(rows_ms):.0f} ms, keys {max(keys_ms):.0f} ms")
    return Delays(rows_ms=rows_ms, keys_ms=keys_ms)


def _type_filter(pane: Pane, text: str) -> None:
    for key in ("/", "C-u"):
        pane.press(key)
        time.sleep(0.2)  # as people type: Textual handles a letter that comes at once before the key for an action
    if text:
        pane.type(text)
        pane.wait(lambda look: look.has(text))


def _only_rows_with(word: str) -> Callable[[Look], bool]:
    def accepts(look: Look) -> bool:
        rows = [line for line in look.lines if line[:1] in ("│", "┊")]
        return look.has(" shown") and bool(rows) and all(word in row for row in rows)

    return accepts


def _has_id(event_id: int) -> Callable[[Look], bool]:
    return lambda look: look.ids()[-1:] >= [event_id]


def _whole_page_before(event_id: int) -> Callable[[Look], bool]:
    def accepts(look: Look) -> bool:
        ids = look.ids()
        whole = len(ids) >= HEIGHT - 4 and ids == list(range(ids[0], ids[0] + len(ids)))  # or it is half drawn
        return whole and ids[0] < event_id

    return accepts


def _cursor_is_at(pane: Pane, line: int) -> bool:
    return pane.cursor_line() == line


def _page_up(watched: Watched, rows: int) -> list[float]:
    """Milliseconds of each page, from the live end through so many rows."""
    pane = watched.pane
    pane.press("End")
    look = pane.wait(lambda look: look.ids() and not look.has("PAUSED"))
    last, delays = look.ids()[-1], []
    while last - look.ids()[0] < rows:
        top, pressed = look.ids()[0], time.monotonic()
        while True:
            pane.press("PageUp")
            try:
                look = pane.wait(_whole_page_before(top), deadline_s=PRESS_AGAIN_S)
            except PaneError:
                if time.monotonic() - pressed < 30:
                    continue
                raise
            break
        delays.append((look.answered - pressed) * 1e3)
    pane.press("End")
    say(f"console: {len(delays)} pages, p95 {_p95(delays):.0f} ms, worst {max(delays):.0f} ms")
    return delays


# Events


@contextmanager
def _feeding(server: Server, per_s: int, count: int) -> Iterator[None]:
    """So many events at that rate from another process; returns when all of them are stored."""
    command = [sys.executable, "-m", "benchmarks.feed", str(server.port), str(per_s), str(count)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield
            out, _ = process.communicate()
        finally:
            process.kill()
    if process.returncode:
        raise PaneError(f"the producer ended with {process.returncode}")
    if float(out) > 1:
        say(f"console: the producer of {per_s:,}/s was {float(out):.1f} s late")


def _pour(watched: Watched, count: int) -> None:
    """So many more, as fast as usual machines send them, and wait until the console has them."""
    if count > 0:
        before = watched.received()
        with _feeding(watched.server, POURED_PER_S, count):
            pass
        _uncounted(watched, before + count)


def _uncounted(watched: Watched, expected: int) -> int:
    """How many events the console has not counted, or too often, once it has had the time to."""
    deadline = time.monotonic() + CATCH_UP_S
    while (missing := expected - watched.received()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return abs(missing)


def _p95(values: list[float]) -> float:
    return quantiles(values, n=20)[18] if len(values) > 1 else values[0]
