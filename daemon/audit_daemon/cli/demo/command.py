"""`audit-stream demo`: see all of it without any set-up."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

__all__ = ["demo"]


def demo(
    *,
    seconds: Annotated[
        float | None,
        Parameter(
            help="End after about so many seconds; by default after 10 without a terminal, with Ctrl-C on one.",
            validator=Number(gt=0, lte=86_400),
        ),
    ] = None,
    console: Annotated[
        bool, Parameter(help="Open the console `audit-tui` on it instead of telling a story.", negative="")
    ] = False,
) -> int:
    """Start a daemon on a temporary file, post sample events, follow them live, tamper with a copy, see it found out.

    Nothing of it stays: the daemon ends with the demo and its file is removed.

    ```
    audit-stream demo
    audit-stream demo --seconds 30
    audit-stream demo --console
    ```
    """
    from audit_daemon.cli.demo.run import run  # only here: the overview of all commands does without

    return run(seconds, console=console)
