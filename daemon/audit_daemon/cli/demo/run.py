"""A demo from set-up to exit code. Whatever happens, the daemon is ended and its directory removed."""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
from pathlib import Path

from audit_daemon.cli.demo.daemon import DemoDaemon
from audit_daemon.cli.demo.producers import Producers
from audit_daemon.cli.demo.screen import Screen
from audit_daemon.cli.demo.story import Pace, Told, farewell, tell
from audit_daemon.cli.errors import OK, CommandError, store_errors
from audit_stream.client import Client

__all__ = ["run"]

_PREFIX = "audit-stream-demo-"


def run(seconds: float | None, *, console: bool = False) -> int:
    """Show it; returns the exit code. None: until Ctrl-C on a terminal, for ten seconds without one.

    With `console` people look at it by `audit-tui`, and it ends when they quit that.
    """
    if console:
        return asyncio.run(_run_console())
    screen = Screen()
    return asyncio.run(_run(screen, Pace.of(seconds, is_terminal=screen.is_terminal)))


async def _run_console() -> int:
    """The daemon and its producers as long as the console is open. It is another program: they meet only over HTTP."""
    with _directory() as directory, store_errors():
        daemon = DemoDaemon(Path(directory))
        try:
            await daemon.start()
            async with Client(daemon.url) as client, Producers(client).posting():
                process = await asyncio.create_subprocess_exec(sys.executable, "-m", "audit_tui", daemon.url)
                return await process.wait()
        finally:
            await daemon.stop()


async def _run(screen: Screen, pace: Pace) -> int:
    """The story is a task of its own, so that a signal ends it and never the clearing up after it."""
    seen: list[Told] = []
    received: list[int] = []
    with _directory() as directory:
        daemon = DemoDaemon(Path(directory))
        story = asyncio.create_task(tell(screen, daemon, pace, seen))
        _end_on_signals(story, received)
        try:
            with store_errors():  # such as a disk that is full
                await story
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


def _end_on_signals(story: asyncio.Task[None], received: list[int]) -> None:
    """End the story at the first of these signals; a second one must not disturb the clearing up."""

    def end(number: int) -> None:
        if not received:
            story.cancel()
        received.append(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup wants it
            asyncio.get_running_loop().add_signal_handler(number, end, number)
