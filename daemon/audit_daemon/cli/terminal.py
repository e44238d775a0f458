"""What may go to a terminal: safe text, colours, progress bars. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from audit_stream.display import safe

__all__ = [
    "Progress",
    "bold",
    "clip",
    "colour_wanted",
    "columns",
    "note",
    "paint",
    "progress",
    "write",
    "write_line",
]

Progress = Callable[[int, int], None]
"""Called with what is done so far and the whole."""

_REDRAW_S = 0.1

_PLAIN_COLUMNS = 120
"""Where no terminal says how wide it is."""

_STYLE = re.compile(r"(\x1b\[[0-9;]*m)")


def write(data: bytes) -> None:
    """Put bytes on stdout as they are. Raises BrokenPipeError when nobody reads them any more."""
    sys.stdout.buffer.write(data)


def write_line(text: str) -> None:
    """Put a line on stdout; the caller has made it safe. What the terminal's encoding lacks becomes `?`."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.buffer.write(f"{text}\n".encode(encoding, "replace"))


def note(text: str) -> None:
    """Say something on stderr, escaped and on one line."""
    print(f"audit-stream: {safe(text)}", file=sys.stderr, flush=True)


def colour_wanted(stream: TextIO) -> bool:
    """Whether to colour (no-color.org): on a terminal, unless NO_COLOR is set."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, sgr: str) -> str:
    """The text in an ANSI style (ECMA-48 SGR parameters), such as `1;31` for bold red."""
    return f"\x1b[{sgr}m{text}\x1b[0m" if sgr else text


def bold(text: str, sgr: str = "1") -> str:
    """The text painted when stdout is a terminal that wants it."""
    return paint(text, sgr) if colour_wanted(sys.stdout) else text


def columns() -> int:
    """How wide the terminal of stdout is, in cells."""
    return max(shutil.get_terminal_size((_PLAIN_COLUMNS, 24)).columns, 20)


def clip(line: str, width: int) -> str:
    """The line cut to so many terminal cells, of which some characters take two; its styles are closed as they were."""
    from rich.cells import cell_len, set_cell_size  # only here: who writes to a pipe needs none of it

    if cell_len(_STYLE.sub("", line)) <= width:
        return line
    kept, room = [], width - 1
    for index, piece in enumerate(_STYLE.split(line)):
        if index % 2:  # a style
            kept.append(piece)
        elif room:
            kept.append(piece if cell_len(piece) <= room else set_cell_size(piece, room))
            room -= cell_len(kept[-1])
    return "".join([*kept, "…"])


@contextmanager
def progress(label: str) -> Iterator[Progress]:
    """A progress bar on stderr while the context lasts; nothing where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # No refreshing thread: verification forks, and a forked lock that this thread held would never be released.
    with Bar(*columns, console=Console(stderr=True), auto_refresh=False, transient=True) as bar:
        task = bar.add_task(label, total=None)
        drawn_at = 0.0

        def show(done: int, total: int) -> None:
            nonlocal drawn_at
            now = time.monotonic()
            if now - drawn_at >= _REDRAW_S or done >= total:
                bar.update(task, completed=done, total=total, refresh=True)
                drawn_at = now

        yield show
