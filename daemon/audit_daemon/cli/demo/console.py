"""The demo for people on a terminal: the console, in the foreground, over a daemon that the producers fill."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

from audit_daemon.cli.demo.daemon import DemoDaemon, environment
from audit_daemon.cli.demo.producers import Producers
from audit_daemon.cli.demo.screen import Screen
from audit_daemon.cli.errors import CommandError
from audit_stream.client import Client
from audit_stream.own_python import own_python

__all__ = ["can_show", "show"]

_END_S = 5.0
"""The console gives the terminal back within a second."""


def can_show() -> bool:
    """Whether there is a terminal to show it on: to type into, to be drawn on, and for the farewell."""
    return os.environ.get("TERM") != "dumb" and all(os.isatty(descriptor) for descriptor in (0, 1, 2))


async def show(screen: Screen, daemon: DemoDaemon, seconds: float | None) -> None:
    """Say which keys to begin with, and start all of it; returns when the console was left, or after so many seconds.

    Raises CommandError when the console ends otherwise. Cancelled, it returns once the console has given the terminal
    back.
    """
    screen.title("The console opens: ? shows all keys, / filters, q leaves.")  # its own line has no room at 80 columns
    await daemon.start()
    async with Client(daemon.url) as client, Producers(client).posting():
        console = await _start(daemon)
        code = 0
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    code = await console.wait()
        finally:
            await _end(console)
    if code:
        raise CommandError(f"the console ended with {code}")


async def _start(daemon: DemoDaemon) -> asyncio.subprocess.Process:
    """A process of its own, by name: the daemon and the console meet only over HTTP."""
    ours = {
        "AUDIT_TUI_CONFIG": str(daemon.database.with_name("none.toml")),  # deaf to the user's, as the daemon is
        "AUDIT_TUI_STATE": str(daemon.database.with_name("console")),  # which goes away with the daemon's file
    }
    return await asyncio.create_subprocess_exec(*own_python("audit_tui", daemon.url), env=environment() | ours)


async def _end(console: asyncio.subprocess.Process) -> None:
    """End the console if it still runs, in order: only it can give the terminal back as it was."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if console.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            console.send_signal(number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_S):
                await console.wait()
