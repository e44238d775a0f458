"""Which errors are the machine's: they are a 503 that says when to try again, never a 500."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

import pytest

from audit_daemon.http.problems import problem_of


def _cannot_open(path: Path) -> sqlite3.Error:
    with pytest.raises(sqlite3.OperationalError) as raised:
        sqlite3.connect(path / "none" / "audit.db")
    return raised.value


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.EMFILE, "Too many open files"),
        OSError(errno.ENFILE, "Too many open files in system"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        BlockingIOError(errno.EAGAIN, "no process to be had"),
        RuntimeError("can't start new thread"),
    ],
    ids=repr,
)
def test_what_is_used_up_is_a_503(error: Exception) -> None:
    problem = problem_of(error)
    assert (problem.status, problem.headers["Retry-After"]) == (503, "1")


def test_a_database_that_cannot_be_opened_is_a_503(tmp_path: Path) -> None:
    assert problem_of(_cannot_open(tmp_path)).status == 503


@pytest.mark.parametrize(
    "error", [RuntimeError("a bug"), OSError(errno.EBADF, "a bug"), sqlite3.OperationalError("a bug")]
)
def test_a_bug_is_a_500(error: Exception) -> None:
    assert problem_of(error).status == 500
