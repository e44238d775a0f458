"""The daemon's start: from flags to a daemon that runs, without the command line library.

Its `read_flags` understands what `serve.py` declares to that library: both take the flags from `settings.FIELDS`.
"""

from __future__ import annotations

import gc
import os
import sys

from audit_daemon.settings import FIELDS, SettingsError, load, make_default_directory

__all__ = ["read_flags", "start"]


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
        make_default_directory(settings.db_path)
    except SettingsError as error:
        print(f"audit-stream: {error}", file=sys.stderr)
        return 2
    gc.disable()  # nothing that an import makes is garbage, and looking for some takes 40 ms; `serve` turns it on
    from audit_daemon.server import serve

    return serve(settings)
