"""How the story is printed: in colour and cut to the width of a terminal, or as plain lines."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import sys
import textwrap
from datetime import UTC, datetime
from pathlib import Path

from rich.cells import cell_len, set_cell_size

from audit_daemon.cli.lines import event_line
from audit_daemon.cli.terminal import colour_wanted, paint, write_line
from audit_stream.client import Served

__all__ = ["Screen", "clip", "our_command"]

_BOLD = "1"
_HEADING = "1;36"
_COMMAND = "36"
_DIM = "2"
_GOOD = "1;32"
_BAD = "1;31"

_PROSE_COLUMNS = 80
_PLAIN_COLUMNS = 120
"""Where no terminal says how wide it is."""

_INDENT = "  "
"""The longest command, with `.venv/bin/` before it, then still fits 80 columns."""

_STYLE = re.compile(r"(\x1b\[[0-9;]*m)")
_ASCII = str.maketrans({"→": "->", "…": "..."})


class Screen:
    """Standard output. `is_terminal` says whether somebody is watching."""

    def __init__(self) -> None:
        self.is_terminal = sys.stdout.isatty()
        self._colour = colour_wanted(sys.stdout)
        self._ascii = not (sys.stdout.encoding or "").lower().startswith("utf")

    def title(self, text: str) -> None:
        """The first line of all."""
        self._line(self._paint(text, _BOLD))

    def heading(self, text: str) -> None:
        """A step of the story begins."""
        self._line("")
        self._line(self._paint(text, _HEADING))

    def prose(self, text: str) -> None:
        """An explanation, wrapped."""
        for line in textwrap.wrap(
            text, min(self._columns(), _PROSE_COLUMNS) - len(_INDENT), break_long_words=False, break_on_hyphens=False
        ):
            self._line(f"{_INDENT}{line}")

    def command(self, text: str) -> None:
        """Something to copy, or that was done: never cut. May have several lines."""
        for line in text.splitlines():
            self._line(f"{_INDENT}{self._paint(line, _COMMAND)}")

    def verdict(self, word: str, rest: str, *, good: bool, before: str = "") -> None:
        """A word that nobody overlooks, and the rest of the sentence."""
        self._line(f"{_INDENT}{before}{self._paint(word, _GOOD if good else _BAD)}{rest}")

    def change(self, what: str, old: str, new: str) -> None:
        """What something was and what it has become."""
        self._line(f"{_INDENT}{what}: {old} → {self._paint(new, _BAD)}")

    def pair(self, name: str, value: str) -> None:
        """A value with its name before it, in columns."""
        self._line(f"{_INDENT}{self._paint(f'{name:<8}', _DIM)} {value}")

    def blank(self) -> None:
        """An empty line."""
        self._line("")

    def event(self, served: Served) -> None:
        """An event as `audit-stream tail` shows it, but never longer than a line of the terminal."""
        today = datetime.now(UTC).date().isoformat()
        self._line(clip(event_line(served.decode(), today=today, colour=self._colour), self._columns()))

    def _columns(self) -> int:
        return max(shutil.get_terminal_size((_PLAIN_COLUMNS, 24)).columns, 20)

    def _paint(self, text: str, style: str) -> str:
        return paint(text, style) if self._colour else text

    def _line(self, text: str) -> None:
        write_line(text.translate(_ASCII) if self._ascii else text)
        sys.stdout.flush()


def clip(line: str, columns: int) -> str:
    """The line cut to so many terminal cells, of which some characters take two; its styles are closed as they were."""
    if cell_len(_STYLE.sub("", line)) <= columns:
        return line
    kept, room = [], columns - 1
    for index, piece in enumerate(_STYLE.split(line)):
        if index % 2:  # a style
            kept.append(piece)
        elif room:
            kept.append(piece if cell_len(piece) <= room else set_cell_size(piece, room))
            room -= cell_len(kept[-1])
    return "".join([*kept, "…"])


def our_command() -> str:
    """How the user's shell calls `audit-stream`, as short as it can be."""
    script = Path(sys.executable).with_name("audit-stream")
    found = shutil.which("audit-stream")
    if found is not None and Path(found).resolve() == script.resolve():
        return "audit-stream"
    if not script.is_file():
        return f"{shlex.quote(sys.executable)} -m audit_daemon"
    with contextlib.suppress(ValueError, OSError):
        script = script.relative_to(Path.cwd())
    return shlex.quote(str(script))
