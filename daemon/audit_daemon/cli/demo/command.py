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
            help="End after about so many seconds; by default after 10 without a terminal, when you quit on one.",
            validator=Number(gt=0, lte=86_400),
        ),
    ] = None,
    story: Annotated[
        bool, Parameter(help="Tell it in lines, as without a terminal, instead of opening the console.", negative="")
    ] = False,
) -> int:
    """Start a daemon on a temporary file, post sample events, and open the console on them.

    With `--story`, or without a terminal, it follows the events in lines instead, then tampers with a copy of the file
    and shows how that is found out. Nothing of it stays: the daemon ends with the demo and its file is removed.

    ```
    audit-stream demo
    audit-stream demo --story
    audit-stream demo --seconds 30
    ```
    """
    from audit_daemon.cli.demo.run import run  # only here: the overview of all commands does without

    return run(seconds, story=story)
