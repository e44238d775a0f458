"""A demo from set-up to exit code. Whatever happens, the daemon is ended and its directory removed."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from pathlib import Path

from audit_daemon.cli.demo import console
from audit_daemon.cli.demo.daemon import DemoDaemon
from audit_daemon.cli.demo.screen import Screen
from audit_daemon.cli.demo.story import Pace, Told, farewell, tell
from audit_daemon.cli.errors import OK, CommandError, store_errors

__all__ = ["run"]

_PREFIX = "audit-stream-demo-"


def run(seconds: float | None, *, story: bool = False) -> int:
    """Show it; returns the exit code.

    On a terminal it opens the console, unless `story` wants to have it told. None: until the console is left, or until
    Ctrl-C for a story; for ten seconds without a terminal.
    """
    return asyncio.run(_run(Screen(), seconds, in_console=not story and console.can_show()))


async def _run(screen: Screen, seconds: float | None, *, in_console: bool) -> int:
    """What is shown is a task of its own, so that a signal ends it and never the clearing up after it."""
    seen: list[Told] = []
    received: list[int] = []
    with _directory() as directory:
        daemon = DemoDaemon(Path(directory))
        pace = Pace.of(seconds, is_terminal=screen.is_terminal)
        shown = asyncio.create_task(
            console.show(screen, daemon, seconds) if in_console else tell(screen, daemon, pace, seen)
        )
        _end_on_signals(shown, received)
        try:
            with store_errors():  # such as a disk that is full
                await shown
        except asyncio.CancelledError:
            if not received:
                raise
        finally:
            await daemon.stop()
    if received and not (screen.is_terminal and received[0] == signal.SIGINT):
        return 128 + received[0]
    farewell(screen, seen)
    return OK


def _directory() -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True)
    except OSError as error:
        raise CommandError(f"cannot make a temporary directory: {error.strerror}; set TMPDIR to one") from None


def _end_on_signals(shown: asyncio.Task[None], received: list[int]) -> None:
    """End what is shown at the first of these signals; a second one must not disturb the clearing up."""

    def end(number: int) -> None:
        if not received:
            shown.cancel()
        received.append(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup wants it
            asyncio.get_running_loop().add_signal_handler(number, end, number)
