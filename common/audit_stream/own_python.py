"""How a Python process of our own is started: it imports what is installed, wherever it is started."""

from __future__ import annotations

import site
import sys
from pathlib import Path

__all__ = ["own_python"]


def own_python(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of ours as a program.

    A folder that somebody else can write must not decide what such a process says: `-I` keeps the working directory,
    `PYTHONPATH`, `PYTHONHOME` and all such variables, and the user's own packages out (Python manual, "Command line").
    An installation that is among the user's own packages needs those, and only those.
    """
    isolated = ("-E", "-P") if _is_among_the_users_packages() else ("-I",)
    return [sys.executable, *isolated, "-m", module, *arguments]


def _is_among_the_users_packages() -> bool:
    return bool(site.ENABLE_USER_SITE) and Path(__file__).is_relative_to(site.getusersitepackages())
