"""The command, called in this process or as one of its own."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import NamedTuple

from audit_daemon.cli.app import run

DEADLINE_S = 20.0


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


def call(*arguments: str) -> Outcome:
    """Run the command here: fast, but without a standard input, signals or an environment of its own."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    err = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(list(arguments))
    buffer = out.buffer
    assert isinstance(buffer, io.BytesIO)
    return Outcome(code, buffer.getvalue().decode(), err.getvalue())


def environment(**extra: str) -> dict[str, str]:
    """This environment without our settings, but for those given."""
    ours = ("AUDIT_STREAM_", "HOST", "PORT")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return clean | {"AUDIT_STREAM_CONFIG": os.devnull} | extra


def spawn_command(*arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start the command as a process, its standard streams as pipes."""
    return subprocess.Popen(
        [sys.executable, "-m", "audit_daemon", *arguments],
        env=environment() if env is None else env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def call_process(*arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Outcome:
    """Run the command as a process and wait for its end."""
    with spawn_command(*arguments, env=env) as process:
        out, err = process.communicate(stdin, DEADLINE_S)
    return Outcome(process.returncode, out.decode(), err.decode())
