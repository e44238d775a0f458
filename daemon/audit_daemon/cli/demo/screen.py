"""How the story is printed: in colour and cut to the width of a terminal, or as plain lines."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import sys
import textwrap
from datetime import UTC, datetime
from pathlib import Path

from audit_daemon.cli.lines import event_line
from audit_daemon.cli.terminal import clip, colour_wanted, columns, paint, write_line
from audit_stream.client import RawEvent

__all__ = ["Screen", "clip", "our_command"]

_BOLD = "1"
_HEADING = "1;36"
_COMMAND = "36"
_DIM = "2"
_GOOD = "1;32"
_BAD = "1;31"

_PROSE_COLUMNS = 80

_INDENT = "  "
"""The longest command, with `.venv/bin/` before it, then still fits 80 columns."""

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
            text, min(columns(), _PROSE_COLUMNS) - len(_INDENT), break_long_words=False, break_on_hyphens=False
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

    def event(self, served: RawEvent) -> None:
        """An event as `audit-stream tail` shows it, but never longer than a line of the terminal."""
        today = datetime.now(UTC).date().isoformat()
        self._line(clip(event_line(served.decode(), today=today, colour=self._colour), columns()))

    def _paint(self, text: str, style: str) -> str:
        return paint(text, style) if self._colour else text

    def _line(self, text: str) -> None:
        write_line(text.translate(_ASCII) if self._ascii else text)
        sys.stdout.flush()


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
