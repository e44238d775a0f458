"""Where the command starts. The daemon's start takes a way of its own, so that it answers early.

Importing the command line library and building the commands takes 0.1 s, a quarter of the 0.4 s in which a daemon
shall answer. So when all arguments are the daemon's flags, it is started at once (`start.py`); everything else,
mistakes and `--help` included, is left to `commands.py`, whose `serve` has the same flags.
"""

from __future__ import annotations

from audit_daemon.cli.start import read_flags, start

__all__ = ["run"]

INTERRUPTED = 130
"""128 + SIGINT, as shells report it."""


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
