"""`audit-stream demo` as a newcomer sees it: the story to its end, and nothing left of it however it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from audit_daemon.cli.demo.producers import read_samples, vary
from audit_daemon.cli.demo.screen import clip
from audit_daemon.cli.demo.story import Pace
from tests.daemon.command_line import call, environment
from tests.terminal import MISSING_TMUX, Terminal, has_tmux, terminal

DEADLINE_S = 60.0
"""A demo takes seconds; on a machine that is busy with other tests much longer."""

REAL_EVENTS = Path(__file__).parents[1] / "data" / "real_events.jsonl"
SCRIPT = Path(sys.executable).with_name("audit-stream")

KEYS = "The console opens: ? shows all keys, / filters, q leaves."

EVENT_LINE = re.compile(r"^#\d+ ", re.MULTILINE)

needs_proc = pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="finds processes in Linux's /proc")
needs_tmux = pytest.mark.skipif(not has_tmux(), reason=MISSING_TMUX)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """Where the demo makes its temporary directory: whatever is in it afterwards was left."""
    directory = tmp_path / "scratch"
    directory.mkdir()
    return directory


def env(scratch: Path, **extra: str) -> dict[str, str]:
    clean = {name: value for name, value in environment().items() if name not in ("COLUMNS", "NO_COLOR")}
    return clean | {"TMPDIR": str(scratch)} | extra


@contextmanager
def demo(scratch: Path, *arguments: str, **extra: str) -> Iterator[subprocess.Popen[str]]:
    """The command without a terminal; killed in the end if it still runs."""
    with subprocess.Popen(
        [SCRIPT, "demo", *arguments],
        env=env(scratch, **extra),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def finished(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code, what else was printed, and the errors."""
    out, err = process.communicate(timeout=DEADLINE_S)
    return process.returncode, out, err


def read_until(process: subprocess.Popen[str], start: str) -> str:
    """Read lines up to the first with this beginning, which is returned."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(start):
            return line
    raise AssertionError(f"no line began with {start!r}: {process.stderr and process.stderr.read()}")


def processes(scratch: Path) -> list[int]:
    """The processes whose command line names something in the directory."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes()
        except OSError:  # it has ended
            continue
        if os.fsencode(scratch) + b"/audit-stream-demo-" in command:
            found.append(int(path.parent.name))
    return found


def wait_until(condition: Callable[[], object], says: Callable[[], object] = lambda: "") -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, says()
        time.sleep(0.02)


def assert_nothing_is_left(scratch: Path) -> None:
    assert list(scratch.iterdir()) == []
    assert processes(scratch) == []


def shape(value: Any) -> Any:
    """The types in a value, without the values."""
    if isinstance(value, dict):
        return tuple(sorted((key, shape(item)) for key, item in value.items()))
    if isinstance(value, list):
        return tuple(sorted({shape(item) for item in value}))
    return type(value).__name__


def test_the_samples_have_just_the_shapes_that_real_producers_send() -> None:
    real = [json.loads(line) for line in REAL_EVENTS.read_text(encoding="utf-8").splitlines()]
    ours = [sample for samples in read_samples().values() for sample in samples]
    assert {(sample.kind, sample.source, shape(sample.payload)) for sample in ours} == {
        (event["kind"], event["source"], shape(event["payload"])) for event in real
    }


def test_samples_get_other_ids_that_still_belong_together() -> None:
    created, drifted, *_ = (sample.payload for sample in read_samples()["aeo-validator-service"])
    one, other = vary([created, drifted], "one"), vary([created, drifted], "other")
    assert one[0]["watch_id"] == one[1]["watch_id"] != other[0]["watch_id"]
    assert one[0]["content_hash"] == one[1]["content_hash_before"] != one[1]["content_hash_after"]
    assert shape(one) == shape([created, drifted])
    assert one[0]["url"] == created["url"]


@pytest.mark.parametrize(
    ("line", "columns", "shown"),
    [
        ("#1 short", 8, "#1 short"),
        ("#1 longer", 8, "#1 long…"),
        ("\x1b[31mred\x1b[0m and more", 8, "\x1b[31mred\x1b[0m and…"),
        ("\x1b[31mred and more\x1b[0m", 8, "\x1b[31mred and\x1b[0m…"),
        ("策略策略", 8, "策略策略"),
        ("策略策略策", 8, "策略策 …"),
    ],
)
def test_a_line_is_cut_to_the_cells_of_the_terminal(line: str, columns: int, shown: str) -> None:
    assert clip(line, columns) == shown


@needs_proc
def test_without_a_terminal_the_whole_story_is_told_in_plain_lines(scratch: Path) -> None:
    with demo(scratch, "--seconds", "3") as process:
        code, out, err = finished(process)
    assert (code, err) == (0, "")
    story = re.search(
        r"1 A daemon starts.*"
        r"address  (?P<url>http://127\.0\.0\.1:\d+)\n.*"
        r"curl '(?P=url)/events\?limit=3'.*"
        r"audit-stream tail --url (?P=url) 'severity:>=warning'.*"
        r"2 Five services.*\n"
        r"#1 [^\n]*\n#2 .*"
        r"3 Does the log hold.*"
        r"intact: (?P<count>\d+) events, head #(?P=count) [0-9a-f]{16}….*"
        r"4 Somebody edits a copy.*"
        r"WHERE event_id = (?P<edited>\d+)\n.*"
        r"#(?P=edited) decision: deny → allow\n.*"
        r"BROKEN at #(?P=edited): hash mismatch at event #(?P=edited) \((?P<before>\d+) events? before it holds?\).*"
        r"Somebody cleverer.*"
        r"BROKEN at #(?P<next>\d+): prev_hash mismatch at event #(?P=next) \((?P=edited) events? before it holds?\).*"
        r"5 The log itself.*"
        r"intact: (?P<later>\d+) events.*"
        r"Goodbye\..*"
        r"start a real daemon",
        out,
        re.DOTALL,
    )
    assert story is not None, out
    assert int(story["before"]) == int(story["edited"]) - 1
    assert int(story["next"]) == int(story["edited"]) + 1
    assert int(story["later"]) >= int(story["count"])
    assert "\x1b" not in out
    assert_nothing_is_left(scratch)


@needs_proc
def test_every_event_is_shown_once_in_order_also_across_the_pause(scratch: Path) -> None:
    with demo(scratch, "--seconds", "3") as process:
        _, out, _ = finished(process)
    shown = [int(line.split()[0].removeprefix("#")) for line in out.splitlines() if EVENT_LINE.match(line)]
    assert shown == list(range(1, len(shown) + 1))
    assert len(shown) > 3


@needs_proc
def test_neither_settings_nor_the_working_directory_nor_the_terminals_encoding_disturb_it(
    scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "httpx.py").write_text("raise SystemExit('the wrong module')")
    monkeypatch.chdir(tmp_path)
    settings = {"PORT": "none", "AUDIT_STREAM_CONFIG": "/nowhere", "AUDIT_STREAM_LOG_LEVEL": "error"}
    with demo(
        scratch, "--seconds", "0.5", **settings, PYTHONIOENCODING="ascii", http_proxy="http://127.0.0.1:9"
    ) as process:
        code, out, err = finished(process)
    assert (code, err) == (0, "")
    assert "decision: deny -> allow" in out
    assert "start a real daemon" in out
    assert_nothing_is_left(scratch)


@needs_proc
@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("1 ", signal.SIGINT),
        ("1 ", signal.SIGTERM),
        ("#2 ", signal.SIGINT),
        ("#2 ", signal.SIGTERM),
        ("#2 ", signal.SIGHUP),
        ("5 ", signal.SIGTERM),
    ],
)
def test_a_signal_ends_it_at_any_time_without_a_word(scratch: Path, moment: str, number: signal.Signals) -> None:
    with demo(scratch, "--seconds", "3" if moment == "5 " else "60") as process:
        read_until(process, moment)
        process.send_signal(number)
        process.send_signal(number)  # impatience must not disturb the clearing up
        code, out, err = finished(process)
    assert (code, err) == (128 + number, "")
    assert "Goodbye" not in out
    assert_nothing_is_left(scratch)


@needs_proc
def test_the_daemon_and_the_directory_go_even_when_the_demo_is_killed(scratch: Path) -> None:
    with demo(scratch, "--seconds", "60") as process:
        read_until(process, "#2 ")
        assert processes(scratch) != []
        process.kill()
        process.wait()
    wait_until(lambda: not processes(scratch) and not any(scratch.iterdir()), lambda: list(scratch.iterdir()))


@needs_proc
def test_a_daemon_that_dies_ends_it_with_one_line(scratch: Path) -> None:
    with demo(scratch, "--seconds", "60") as process:
        read_until(process, "#2 ")
        for pid in processes(scratch):
            os.kill(pid, signal.SIGKILL)
        code, _, err = finished(process)
    assert code == 2
    assert re.fullmatch(r"audit-stream: [^\n]+\n", err), err
    assert_nothing_is_left(scratch)


@needs_proc
def test_a_reader_that_has_gone_ends_it(scratch: Path) -> None:
    with demo(scratch, "--seconds", "60") as process:
        read_until(process, "#2 ")
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(DEADLINE_S) == 141
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert_nothing_is_left(scratch)


def test_the_help_has_examples() -> None:
    outcome = call("demo", "--help")
    assert outcome.code == 0
    assert "audit-stream demo --seconds 30" in outcome.out


def test_without_a_temporary_directory_it_says_what_to_do(tmp_path: Path) -> None:
    program = (
        "import sys, tempfile; from audit_daemon.cli.app import run\n"
        "def refuse(*_args, **_kwargs): raise FileNotFoundError(2, 'No usable temporary directory found')\n"
        "tempfile.mkdtemp = refuse\n"
        "sys.exit(run(['demo']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        "audit-stream: cannot make a temporary directory: No usable temporary directory found; set TMPDIR to one\n"
    )


@contextmanager
def on_terminal(scratch: Path, *arguments: str, width: int = 80, **extra: str) -> Iterator[Terminal]:
    with terminal([SCRIPT, "demo", *arguments], width=width, height=24, env={"TMPDIR": str(scratch)} | extra) as term:
        yield term


@needs_proc
@needs_tmux
@pytest.mark.parametrize("key", ["q", "C-c"])
def test_on_a_terminal_it_opens_the_console_and_ends_with_it(scratch: Path, tmp_path: Path, key: str) -> None:
    state = tmp_path / "state"
    with on_terminal(scratch, AUDIT_TUI_STATE=str(state), AUDIT_TUI_CONFIG="/nowhere") as term:
        term.wait_for(r"^│ +\d+ ")
        term.wait_for("VERIFIED")
        term.keys(key)
        assert term.exit_code() == 0
        term.assert_clean()
        out = term.screen()
    assert "Goodbye." in out
    assert "demo --story" in out
    assert not state.exists(), "it remembered the demo's daemon where the user's are remembered"
    assert_nothing_is_left(scratch)


@needs_proc
@needs_tmux
def test_before_the_console_opens_it_says_once_how_to_get_help_and_how_to_leave(scratch: Path) -> None:
    with on_terminal(scratch) as term:
        term.wait_for(r"^│ +\d+ ")
        before, opened, _ = term.output.partition(b"\x1b[?1049h")
        assert opened
        assert KEYS in before.decode()
        term.keys("q")
        assert term.exit_code() == 0
        assert term.screen(history=True).count(KEYS) == 1


@needs_proc
@needs_tmux
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_console_too_and_leaves_the_terminal_clean(scratch: Path, number: signal.Signals) -> None:
    with on_terminal(scratch) as term:
        term.wait_for(r"^│ +\d+ ")
        term.signal(number)
        assert term.exit_code() == (0 if number is signal.SIGINT else 128 + number)
        term.assert_clean()
    assert_nothing_is_left(scratch)


@needs_proc
@needs_tmux
def test_a_window_that_is_closed_leaves_nothing(scratch: Path) -> None:
    with on_terminal(scratch) as term:
        term.wait_for(r"^│ +\d+ ")
        term.hang_up()
    wait_until(lambda: not processes(scratch) and not any(scratch.iterdir()), lambda: list(scratch.iterdir()))


@needs_proc
@needs_tmux
def test_the_console_too_ends_after_the_seconds_that_are_asked_for(scratch: Path) -> None:
    with on_terminal(scratch, "--seconds", "2") as term:
        term.wait_for(r"^│ +\d+ ")
        assert term.exit_code() == 0
        term.assert_clean()
    assert_nothing_is_left(scratch)


@needs_proc
@needs_tmux
def test_a_daemon_that_dies_ends_the_console_with_one_line(scratch: Path) -> None:
    with on_terminal(scratch, width=160) as term:
        term.wait_for(r"^│ +\d+ ")
        for pid in processes(scratch):
            os.kill(pid, signal.SIGKILL)
        assert term.exit_code() == 2
        term.assert_clean()
        said = term.screen().removeprefix(KEYS).strip("\n")
        assert re.fullmatch(r"audit-stream: [^\n]+", said), term.screen()
    assert_nothing_is_left(scratch)


@needs_proc
@needs_tmux
def test_the_story_is_coloured_on_a_terminal_and_goes_on_until_ctrl_c(scratch: Path) -> None:
    """With an end that is far away, because then nobody is given time to read."""
    assert Pace.of(None, is_terminal=True).total_s is None
    with on_terminal(scratch, "--story", "--seconds", "3600") as term:
        term.wait_for(r"^5 The log itself(.*\n)+#\d+ ", deadline_s=DEADLINE_S, history=True)
        coloured = term.screen(styles=True, history=True)
        term.keys("C-c")
        assert term.exit_code() == 0
        out = term.screen(history=True)
    assert "Goodbye." in out
    assert out.count("BROKEN at #") == 4, "both verdicts, and both again at the end"
    assert "Traceback" not in out
    for sgr, text in (("32", "INFO"), ("33", "WARNING")):
        assert f"\x1b[{sgr}m{text}" in coloured
    assert re.search(r"\x1b\[(0;)?1;?(m\x1b\[)?31mBROKEN", coloured)
    assert_nothing_is_left(scratch)


@needs_proc
@needs_tmux
def test_on_a_narrow_terminal_with_no_color_each_event_is_one_plain_line(scratch: Path) -> None:
    with on_terminal(scratch, "--story", "--seconds", "3", width=50, NO_COLOR="1") as term:
        assert term.exit_code() == 0
        out = term.screen(styles=True, history=True)
    assert "\x1b" not in out
    following = out.partition("2 Five services")[2].partition("3 Does the log")[0].strip().splitlines()
    events = [line for line in following if line.startswith("#")]
    assert len(events) > 3
    assert following[-len(events) :] == events
    assert_nothing_is_left(scratch)
