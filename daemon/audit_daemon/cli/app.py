"""Where the command starts. The daemon's start takes a way of its own, so that it answers early.

Importing the command line library and building the commands takes 0.1 s, a quarter of the 0.4 s in which a daemon
shall answer. So when all arguments are the daemon's flags, which `settings.FIELDS` lists, the daemon is started at
once; everything else, mistakes and `--help` included, is left to `commands.py`, whose `serve` has the same flags from
the same list.
"""

from __future__ import annotations

import gc
import os
import sys

from audit_daemon.settings import FIELDS, SettingsError, load

__all__ = ["read_flags", "run", "start"]

INTERRUPTED = 130
"""128 + SIGINT, as shells report it."""


def run(arguments: list[str]) -> int:
    """Run a command line; returns the exit code."""
    try:
        flags = read_flags(arguments)
        if flags is not None:
            return start(flags)
        from audit_daemon.cli.commands import dispatch

        return dispatch(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED


def read_flags(arguments: list[str]) -> dict[str, str] | None:
    """The daemon's flags by field name, when the arguments are `serve` or nothing, then such flags and nothing else.

    None says that they are something else or mistaken.
    """
    names = {field.flag: field.name for field in FIELDS}
    flags: dict[str, str] = {}
    rest = iter(arguments[1:] if arguments[:1] == ["serve"] else arguments)
    for argument in rest:
        flag, equals, value = argument.partition("=")
        if not equals:
            value = next(rest, "-")
        if flag not in names or names[flag] in flags or (not equals and value.startswith("-")):
            return None
        flags[names[flag]] = value
    return flags


def start(flags: dict[str, str]) -> int:
    """Run the daemon until it is told to stop; 2 when a setting cannot be used."""
    try:
        settings = load(flags, os.environ)
    except SettingsError as error:
        print(f"audit-stream: {error}", file=sys.stderr)
        return 2
    gc.disable()  # nothing that an import makes is garbage, and looking for some takes 40 ms; `serve` turns it on
    from audit_daemon.server import serve

    return serve(settings)
