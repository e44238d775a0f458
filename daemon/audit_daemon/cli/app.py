"""Where the command starts. The daemon's start takes a way of its own, so that it answers early.

Importing the command line library and building the commands takes 0.1 s, a quarter of the 0.4 s in which a daemon
shall answer. So when all arguments are the daemon's flags, it is started at once (`start.py`); everything else,
mistakes and `--help` included, is left to `commands.py`, whose `serve` has the same flags.
"""

from __future__ import annotations

import os
import sys

from audit_daemon.cli.start import read_flags, start

__all__ = ["open_standard_streams", "run"]

INTERRUPTED = 130
"""128 + SIGINT, as shells report it."""


def open_standard_streams() -> None:
    """Put something in the place of standard streams that are closed, before any file takes their numbers.

    What is written to a closed standard output fails, as it should; to a closed standard error it is dropped.
    """
    for number, name, flags in ((0, "stdin", os.O_RDONLY), (1, "stdout", os.O_RDONLY), (2, "stderr", os.O_WRONLY)):
        if getattr(sys, name) is None:
            os.open(os.devnull, flags)  # which takes the lowest number that is free
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115


def run(arguments: list[str]) -> int:
    """Run a command line; returns the exit code."""
    try:
        flags = read_flags(arguments)
        if flags is not None:
            return start(flags)
        from audit_daemon.cli.commands import dispatch  # only here: it takes the 0.1 s

        return dispatch(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED
