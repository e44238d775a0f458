"""The demo's daemon: a child process with a file of its own on a port that it chooses, deaf to the user's settings."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections import deque
from pathlib import Path

from audit_daemon.cli.errors import CommandError
from audit_stream.own_python import own_python

__all__ = ["DemoDaemon", "environment"]

_START_S = 30.0
"""A start takes half a second; on a machine that is busy or wakes from sleep it may take much longer."""
_STOP_S = 5.0
"""The daemon stops within two seconds."""


class DemoDaemon:
    """The daemon of a demo. `url` is known after `start`."""

    def __init__(self, directory: Path) -> None:
        self.database = directory / "audit.db"
        self.url = ""
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._log: deque[str] = deque(maxlen=10)

    async def start(self) -> None:
        """Return once requests are answered. Raises CommandError with the daemon's own reason when it ends instead."""
        self._process = await asyncio.create_subprocess_exec(
            *own_python("audit_daemon.cli.demo.child", str(self.database.parent)),
            *("--host", "127.0.0.1", "--port", "0", "--db", str(self.database)),
            *("--log-level", "info", "--log-format", "json"),
            env=environment(),
            stdin=asyncio.subprocess.PIPE,  # its end tells the child that the demo is gone
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the demo, which then stops the daemon in order
        )
        listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._reading = asyncio.create_task(self._read_log(self._process, listening))
        try:
            async with asyncio.timeout(_START_S):
                self.url = await listening
        except TimeoutError:
            raise CommandError(f"the daemon did not start within {_START_S:.0f} s: {self._last_words()}") from None

    def check(self) -> None:
        """Raise CommandError when the daemon has ended by itself."""
        if self._process is not None and self._process.returncode is not None:
            raise CommandError(f"the daemon has ended ({self._process.returncode}): {self._last_words()}")

    async def stop(self) -> None:
        """End the process, whatever state it is in. May be called at any time; must not be cancelled."""
        if self._process is None:
            return
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
        try:
            async with asyncio.timeout(_STOP_S):
                await self._process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])

    async def _read_log(self, process: asyncio.subprocess.Process, listening: asyncio.Future[str]) -> None:
        """Read all that the daemon says, or it would stand still one day: a pipe holds 64 KiB."""
        assert process.stderr is not None
        while line := await process.stderr.readline():
            text = line.decode("utf-8", "replace").strip()
            self._log.append(text)
            if not listening.done() and (url := _listening_url(text)):
                listening.set_result(url)
        await process.wait()
        if not listening.done():
            listening.set_exception(CommandError(f"the daemon did not start: {self._last_words()}"))

    def _last_words(self) -> str:
        for line in reversed(self._log):
            with contextlib.suppress(ValueError, KeyError, TypeError):
                return str(json.loads(line)["reason"])
        return self._log[-1] if self._log else "it said nothing"


def _listening_url(line: str) -> str:
    try:
        entry = json.loads(line)
    except ValueError:
        return ""
    is_it = isinstance(entry, dict) and entry.get("event") == "listening"
    return str(entry["url"]) if is_it else ""


def environment() -> dict[str, str]:
    """The user's environment without our settings."""
    ours = ("HOST", "PORT")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AUDIT_STREAM_", "AUDIT_TUI_"))}
    return {name: value for name, value in clean.items() if name not in ours} | {"AUDIT_STREAM_CONFIG": os.devnull}
