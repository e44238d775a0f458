"""How a command ends. 0: all is well, 1: a finding, 2: it could not be done."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from audit_stream.errors import AuditStreamError
from audit_stream.logfile.errors import StoreError

__all__ = ["COULD_NOT", "FINDING", "OK", "CommandError", "UnknownOption", "store_errors"]

OK = 0
FINDING = 1
"""A broken chain, a refused event."""
COULD_NOT = 2
"""A wrong option, a missing file, a daemon that does not answer: nothing is known of the chain."""


class CommandError(AuditStreamError):
    """Ends the command with one line for people and an exit code."""

    def __init__(self, message: str, exit_code: int = COULD_NOT) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class UnknownOption(CommandError):
    """An argument that looks like an option and is none of the command's; `advice` says what else it may be."""

    def __init__(self, option: str, advice: str = "") -> None:
        super().__init__(f"unknown option {option}")
        self.option = option
        self.advice = advice


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn what a file can answer into CommandError."""
    try:
        yield
    except StoreError as error:
        raise CommandError(str(error)) from None
    except sqlite3.Error as error:
        raise CommandError(f"the file cannot be read or written: {error}") from None
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise CommandError(
            f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error)
        ) from None
