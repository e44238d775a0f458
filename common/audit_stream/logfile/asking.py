"""A verdict on a file from a process of its own (`process.py`): asked for, waited for no longer than makes sense."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
from collections.abc import Callable
from pathlib import Path

import msgspec

from audit_stream.chain import GENESIS, Head, Verdict
from audit_stream.errors import AuditStreamError
from audit_stream.logfile.opening import size_bytes
from audit_stream.own_python import own_python

__all__ = ["STALL_S", "Answer", "NoVerdictError", "ask", "deadline_s", "shown"]

STALL_S = 30.0
"""How long the process may go without a sign of progress: it gives one every second in which it gets anywhere."""

_SLOWEST_START_S = 300.0
_SLOWEST_BYTES_PER_S = 1_000_000
"""A hundredth of what a disk reads; a verification that is slower than this is held up by somebody."""

_END_S = 1.0
"""How long a process that was killed is waited for; one that hangs in the kernel ends when its disk answers."""


class NoVerdictError(AuditStreamError):
    """The file could not be checked, which says nothing about the chain; the text is the reason."""


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The last line of the process. `asked` repeats its arguments, so that no answer is taken for another's."""

    asked: list[str]
    verdict: Verdict | None = None
    error: str | None = None


def deadline_s(path: Path) -> float:
    """How long the verification of this file may take at most, however it gets on."""
    return _SLOWEST_START_S + size_bytes(path) / _SLOWEST_BYTES_PER_S


async def ask(
    path: Path,
    *,
    acknowledged: Head = GENESIS,
    on_started: Callable[[], None] = lambda: None,
    stall_s: float = STALL_S,
    stderr: int | None = None,
) -> Verdict:
    """Verify the file in another process. `acknowledged` is a head that the log must still hold.

    `on_started` is called before the first byte is read. Raises NoVerdictError, also when the process gets nowhere for
    `stall_s` seconds. However this is left, the process is killed with all that it has started.
    """
    asked = [str(path), secrets.token_hex(16), str(acknowledged.event_id), acknowledged.hash]
    try:
        process = await asyncio.create_subprocess_exec(
            *own_python("audit_stream.logfile.process", *asked),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,  # a group of its own, to be killed whole
        )
    except OSError as error:  # no memory or no process left for another program
        raise NoVerdictError(f"the verifying process did not start: {error.strerror}") from None
    try:
        assert process.stdout is not None
        async with asyncio.timeout(deadline_s(path)):
            answer = await _last_line(process.stdout, on_started, stall_s)
    except TimeoutError:
        raise NoVerdictError(f"the verification took longer than {deadline_s(path):.0f} s, and was given up") from None
    finally:
        await _kill(process)
    return _read_answer(answer, asked)


async def _last_line(lines: asyncio.StreamReader, on_started: Callable[[], None], stall_s: float) -> bytes:
    """The answer, after `on_started` and any number of signs of progress."""
    started = False
    while True:
        try:
            async with asyncio.timeout(stall_s):
                line = await lines.readline()
        except TimeoutError:
            raise NoVerdictError(
                f"the verifying process got nowhere for {stall_s:g} s, and was given up: it was stopped, the disk does "
                "not answer, or the machine has no processor for it"
            ) from None
        except ValueError:  # a line without end
            return b""
        if not line.startswith(b'{"checked":') and started:
            return line
        if not started:
            started = True
            on_started()


async def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    # Killed, since a process that was stopped comes to handle no other signal. What it has forked dies with it.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_END_S):
            await process.wait()


def _read_answer(line: bytes, asked: list[str]) -> Verdict:
    try:
        answer = msgspec.json.decode(line, type=Answer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise NoVerdictError("the verifying process ended without a verdict") from None
    if answer.asked != shown(asked):
        raise NoVerdictError("the verifying process answered something else than it was asked")
    if answer.verdict is None:
        raise NoVerdictError(answer.error or "the verifying process ended without a verdict")
    return answer.verdict


def shown(arguments: list[str]) -> list[str]:
    """Arguments as JSON can carry them: a path need not be UTF-8."""
    return [argument.encode("utf-8", "backslashreplace").decode() for argument in arguments]
