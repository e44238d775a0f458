"""A real terminal for tests and benchmarks: a command in a pane of a tmux server of its own.

The pane outlives the command, so that what the command left behind can be looked at: the last screen, the modes of the
terminal, the settings of the line. Everything that the command wrote is kept, byte by byte, in `output`.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["DEADLINE_S", "MISSING_TMUX", "Terminal", "TmuxError", "has_tmux", "terminal"]

DEADLINE_S = 20.0
MISSING_TMUX = "needs tmux (Debian: apt-get install tmux)"

_POLL_S = 0.03

_CONFIG = """
set -g default-terminal tmux-256color
set -g history-limit 50000
set -g status off
set -s escape-time 0
set -s set-clipboard on
set -g exit-empty off
"""

# The traps are there so that the pane outlives a signal that the command gets too. They are no "ignore", which the
# command would inherit.
_LAUNCHER = """
trap : INT TERM HUP QUIT
echo $$ >"$NOTES/launcher.new"; mv "$NOTES/launcher.new" "$NOTES/launcher"
stty -g >"$NOTES/before"
sh -c 'echo $$ >"$NOTES/pid.new"; mv "$NOTES/pid.new" "$NOTES/pid"; exec "$@"' sh "$@"
code=$?
stty -g >"$NOTES/after"
echo $code >"$NOTES/code.new"; mv "$NOTES/code.new" "$NOTES/code"
exec sleep 86400
"""


def has_tmux() -> bool:
    """Whether to go on. Under CI always: a missing tmux must fail there and not skip."""
    return shutil.which("tmux") is not None or "CI" in os.environ


class TmuxError(Exception):
    """What tmux says that it cannot do."""


class Terminal:
    """The command and the terminal that it runs in."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.socket = directory / "tmux"

    def tmux(self, *arguments: str, env: Mapping[str, str] | None = None) -> str:
        """What a tmux command prints. TmuxError when tmux refuses it."""
        command = ["tmux", "-S", str(self.socket), "-f", str(self.directory / "tmux.conf"), *arguments]
        done = subprocess.run(command, env=env, capture_output=True, check=False)
        if done.returncode:
            raise TmuxError(f"{' '.join(arguments[:2])}: {done.stderr.decode(errors='backslashreplace').strip()}")
        return done.stdout.decode("utf-8", "backslashreplace")

    def keys(self, *names: str) -> None:
        """Press keys by their tmux names: `Up`, `PageUp`, `C-c`, `/`."""
        self.tmux("send-keys", *(";" if name == r"\;" else name for name in names))

    def type(self, text: str) -> None:
        """Type a text, every character as itself."""
        self.tmux("send-keys", "-l", "--", text)

    def screen(self, *, styles: bool = False, history: bool = False) -> str:
        """What is on the screen; with the escapes for its colours; with what has scrolled off its top."""
        return self.tmux("capture-pane", "-p", *(["-e"] if styles else []), *(["-S", "-"] if history else []))

    def lines(self) -> list[str]:
        """The screen's lines, as many as it is high, without blanks at their ends."""
        return self.screen().split("\n")[:-1]

    def wait_for(
        self, what: str | Callable[[str], object], *, deadline_s: float = DEADLINE_S, history: bool = False
    ) -> str:
        """The first screen that a regular expression (`^` and `$` are lines) is found in, or that a function accepts.

        AssertionError with the last screen when none comes, or when the command ends without one.
        """
        accepts = re.compile(what, re.MULTILINE).search if isinstance(what, str) else what
        deadline = time.monotonic() + deadline_s
        while True:
            ended = self.has_ended  # before the screen, which is then the last
            screen = self.screen(history=history)
            if accepts(screen):
                return screen
            if ended or time.monotonic() > deadline:
                why = f"ended with {self._read('code')}" if ended else f"not within {deadline_s:g} s"
                raise AssertionError(f"{what!r}: {why}; the screen:\n{screen}")
            time.sleep(_POLL_S)

    def wait_for_change(self, *names: str) -> str:
        """Press keys, and return the first screen that is another one."""
        before = self.screen()
        self.keys(*names)
        return self.wait_for(lambda screen: screen != before)

    def resize(self, width: int, height: int) -> None:
        """Give the window another size."""
        self.tmux("resize-window", "-x", str(width), "-y", str(height))

    @property
    def pid(self) -> int:
        """The command's process."""
        self._wait(lambda: (self.directory / "pid").exists(), "the command did not start")
        return int(self._read("pid"))

    @property
    def has_ended(self) -> bool:
        """Whether the command has ended; its terminal is still there."""
        return (self.directory / "code").exists()

    def exit_code(self) -> int:
        """Wait for the command's end; its code as a shell gives it, so 128 and more for a signal."""
        self._wait(lambda: self.has_ended, "the command did not end")
        return int(self._read("code"))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the command and to nothing else."""
        os.kill(self.pid, number)

    def hang_up(self) -> None:
        """Take the terminal away, as when its window is closed; returns when the command is gone."""
        pid = self.pid
        self.kill()
        self._wait(lambda: _is_gone(pid, self.directory), f"process {pid} outlived its terminal")

    def kill(self) -> None:
        """End the tmux server and all in it."""
        with suppress(TmuxError):
            self.tmux("kill-server")

    @property
    def output(self) -> bytes:
        """Every byte that the command has written to the terminal."""
        return (self.directory / "output").read_bytes()

    def clipboard(self) -> str:
        """What was copied last by OSC 52."""
        return self.tmux("show-buffer")

    def flags(self) -> dict[str, bool]:
        """The terminal's modes that a full-screen program must put back."""
        names = ("alternate_on", "cursor_flag", "mouse_any_flag", "keypad_flag", "keypad_cursor_flag")
        values = self.tmux("display-message", "-p", " ".join(f"#{{{name}}}" for name in names)).split()
        return {name: value == "1" for name, value in zip(names, values, strict=True)}

    def assert_clean(self) -> None:
        """After the command's end: cursor shown, no alternate screen, no mouse, the line as it was before."""
        assert self.has_ended
        left = [name for name, on in self.flags().items() if on != (name == "cursor_flag")]
        assert not left, f"left behind in the terminal: {left}"
        assert self._read("after") == self._read("before"), "the line's settings (stty) were not put back"
        if pastes := re.findall(rb"\x1b\[\?2004([hl])", self.output):  # tmux does not tell this mode
            assert pastes[-1] == b"l", "bracketed paste was left on"

    def _read(self, name: str) -> str:
        return (self.directory / name).read_text().strip()

    def _wait(self, condition: Callable[[], bool], why: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"{why}; the screen:\n{self._last_screen()}")
            time.sleep(_POLL_S)

    def _last_screen(self) -> str:
        with suppress(TmuxError):
            return self.screen()
        return "(no terminal any more)"


@contextmanager
def terminal(
    command: Sequence[str | Path],
    *,
    width: int = 120,
    height: int = 40,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Iterator[Terminal]:
    """Run the command in a terminal of that size; the terminal is killed on exit, whatever happened in it.

    The environment is ours without what would configure the command, plus `env`. The console's own files are in a
    directory that goes away with the terminal.
    """
    # Not pytest's directory: a socket's path may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="terminal-", dir="/tmp", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        (directory / "tmux.conf").write_text(_CONFIG)
        (directory / "output").touch()
        found = Terminal(directory)
        output = shlex.quote(str(directory / "output"))
        try:
            found.tmux(
                *("new-session", "-d", "-x", str(width), "-y", str(height), "-c", str(cwd or Path.cwd())),
                shlex.join(["sh", "-c", _LAUNCHER, "sh", *map(str, command)]),
                *(";", "pipe-pane", "-O", f"exec cat >{output}"),  # in the same turn of tmux, so nothing is missed
                env=_environment(directory) | dict(env or {}),
            )
            yield found
        finally:
            found.kill()
            if not found.has_ended:
                _end(directory / "pid")
            _end(directory / "launcher", patience_s=0)  # or it writes its last notes into a directory that is going


def _environment(directory: Path) -> dict[str, str]:
    """Ours, without what configures the console, the daemon or the libraries below them."""
    ours = ("AUDIT_", "HOST", "PORT", "NO_COLOR", "COLUMNS", "LINES", "TEXTUAL", "TMUX", "LC_", "XDG_", "NO_PROXY")
    clean = {name: value for name, value in os.environ.items() if not name.upper().startswith(ours)}
    return {name: value for name, value in clean.items() if not name.lower().endswith("_proxy")} | {
        "NOTES": str(directory),
        "LANG": "C.UTF-8",
        "COLORTERM": "truecolor",
        "AUDIT_STREAM_CONFIG": os.devnull,
        "AUDIT_TUI_STATE": str(directory / "state"),
        "AUDIT_TUI_CONFIG": str(directory / "audit-tui.toml"),
        "XDG_STATE_HOME": str(directory / "xdg-state"),
        "XDG_CONFIG_HOME": str(directory / "xdg-config"),
    }


def _end(pid_file: Path, *, patience_s: float = 5) -> None:
    """Wait for a process whose terminal has gone; kill it when it stays."""
    if not pid_file.exists():
        return
    pid = int(pid_file.read_text())
    deadline = time.monotonic() + patience_s
    while not _is_gone(pid, pid_file.parent):
        if time.monotonic() > deadline:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_POLL_S)


def _is_gone(pid: int, directory: Path) -> bool:
    """Whether a process of this terminal has ended; one that nobody has waited for has, and another may have its id."""
    try:
        return f"NOTES={directory}".encode() not in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return True
