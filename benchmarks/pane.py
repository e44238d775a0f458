"""What is on a terminal's screen, and when: over one connection to tmux in its control mode, without a process a look.

A look takes some 0.5 ms, so that a screen that is looked at every two milliseconds tells when it changed to about 3 ms.
tmux has put everything on the screen by then that the program had written.
"""

import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import msgspec

from tests.terminal import Terminal

POLL_S = 0.002
DEADLINE_S = 30.0

_STYLED = re.compile(r"\x1b\[([0-9;]*)m|\x1b[()][A-Za-z0-9]|([^\x1b]+)")
_ID = re.compile(r"^[│┊✗?].? *(\d+) ")


class PaneError(Exception):
    """The screen did not become what was waited for; carries the last one."""


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """A screen, and when tmux was asked for it and had answered (`time.monotonic()`)."""

    lines: list[str]
    asked: float
    answered: float

    def ids(self) -> list[int]:
        """The ids of the events in the table, from top to bottom."""
        return [int(found[1]) for line in self.lines if (found := _ID.match(line))]

    def has(self, text: str) -> bool:
        """Whether the text is anywhere."""
        return any(text in line for line in self.lines)


class Pane:
    """A connection to the tmux server of a terminal."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._in = process.stdin
        self._out = process.stdout

    def command(self, text: str) -> list[str]:
        """The lines that a tmux command prints."""
        self._in.write(f"{text}\n")
        self._in.flush()
        return self.answer()

    def answer(self) -> list[str]:
        """The next answer's lines; whatever tmux notifies of beside answers is skipped."""
        lines: list[str] = []
        number = ""
        while line := self._out.readline():
            line = line.rstrip("\n")
            word, _, rest = line.partition(" ")
            if not number:
                number = rest.split(" ")[1] if word == "%begin" else ""
            elif word in ("%end", "%error") and rest.split(" ")[1:2] == [number]:
                if word == "%error":
                    raise PaneError(f"tmux: {' '.join(lines)}")
                return lines
            else:
                lines.append(line)
        raise PaneError("tmux has ended")

    def look(self, *, styles: bool = False) -> Look:
        """The screen now."""
        asked = time.monotonic()
        lines = self.command(f"capture-pane -p{'e' if styles else ''}")
        return Look(lines=lines, asked=asked, answered=time.monotonic())

    def cursor_line(self) -> int:
        """The number of the line whose background no other line of the table has; -1 when there is none."""
        backgrounds = _backgrounds(self.look(styles=True).lines)
        counts = Counter(backgrounds.values())
        alone = [number for number, background in backgrounds.items() if counts[background] == 1]
        return alone[0] if len(alone) == 1 else -1

    def press(self, key: str) -> float:
        """Press a key by its tmux name; returns the time just before."""
        pressed = time.monotonic()
        self.command(f"send-keys {key}")
        return pressed

    def type(self, text: str) -> None:
        """Type a text, which must hold no quote."""
        self.command(f"send-keys -l '{text}'")

    def wait(self, accepts: Callable[[Look], object], *, deadline_s: float = DEADLINE_S) -> Look:
        """The first look that the function accepts, looking every POLL_S."""
        deadline = time.monotonic() + deadline_s
        while not accepts(look := self.look()):
            if look.answered > deadline:
                raise PaneError("the screen did not change as expected:\n" + "\n".join(look.lines))
            time.sleep(POLL_S)
        return look

    def seconds_to(self, key: str, happened: Callable[[], object], *, deadline_s: float = DEADLINE_S) -> float:
        """From just before a key is pressed until its effect is on the screen."""
        pressed = self.press(key)
        while not happened():
            if time.monotonic() > pressed + deadline_s:
                raise PaneError(f"{key} had no effect:\n" + "\n".join(self.look().lines))
            time.sleep(POLL_S)
        return time.monotonic() - pressed


@contextmanager
def looking_at(term: Terminal) -> Iterator[Pane]:
    """A connection while the context lasts."""
    command = ["tmux", "-S", str(term.socket), "-C", "attach-session", "-f", "no-output,ignore-size"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8", errors="replace"
    ) as process:
        pane = Pane(process)
        try:
            pane.answer()  # to attaching
            yield pane
        finally:
            with suppress(OSError):
                pane._in.close()
            process.terminate()


def _backgrounds(lines: list[str]) -> dict[int, str]:
    """The background of each event's summary, by line. A style lasts until the next one, also over a line's end."""
    found: dict[int, str] = {}
    background = ""
    for number, line in enumerate(lines):
        column, plain = 0, ""
        for sgr, text in _STYLED.findall(line):
            if text:
                if column <= 20 < column + len(text):
                    found[number] = background
                column += len(text)
                plain += text
            elif not sgr or sgr.split(";")[0] in ("", "0"):
                background = ""
            if match := re.search(r"(?:^|;)48;2;(\d+;\d+;\d+)|(?:^|;)48;5;(\d+)", sgr):
                background = match[0].lstrip(";")
            elif re.search(r"(?:^|;)49(?:;|$)", sgr):
                background = ""
        if not _ID.match(plain):
            found.pop(number, None)
    return found
