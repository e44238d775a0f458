"""docs/python.md: every program on the page does what it says, one after the other, against one real daemon."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.command_line import environment
from tests.daemon_process import DEADLINE_S, DaemonProcess, start_daemon

PAGE = (Path(__file__).parents[2] / "docs" / "python.md").read_text(encoding="utf-8")
SECTIONS = re.findall(r"^(?:# |## )(.+)\n((?:(?!^## ).*\n)*)", PAGE, re.MULTILINE)
PROGRAMS = [
    (f"{title} {number}", program)
    for title, text in SECTIONS
    for number, program in enumerate(re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL), 1)
]

PRINTS = {
    "The Python library 1": r"1 [0-9a-f]{64}\n",
    "Append 1": r"",
    "Append 2": r"3 1002 [0-9a-f]{64}\n",
    "Read 1": r"1 \S+ request_denied dpa-required\n",
    "Follow 1": r"connected, going on after 0\n1 request_denied\n2 contract_promoted\n3 other\n",
    "Verify 1": r"intact up to Head\(event_id=1002, hash='[0-9a-f]{64}'\)\n",
    "Errors 1": r"kind: 'no_such_kind' is not a known kind: .*\nno daemon answers at http://127\.0\.0\.1:1: .*\n",
}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    with start_daemon(tmp_path_factory.mktemp("page") / "audit.db") as running:
        yield running


def test_every_program_of_the_page_does_what_it_says(daemon: DaemonProcess, tmp_path: Path) -> None:
    """In the page's order, because the ids that they print follow each other."""
    assert [name for name, _ in PROGRAMS] == list(PRINTS)
    for name, program in PROGRAMS:
        typed = program.replace("Client()", f'Client("{daemon.url}")').replace("http://127.0.0.1:8093", daemon.url)
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", typed],
            cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=DEADLINE_S, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, ""), f"{name}\n{done.stderr}"
        assert re.fullmatch(PRINTS[name], done.stdout), f"{name}\n{done.stdout}"
    assert (tmp_path / "last-event-id").read_text() == "3"


def test_the_page_has_every_name_that_the_client_gives_to_other_programs() -> None:
    from audit_stream.client import __all__ as names

    of_our_commands = {"DEFAULT_URL", "EVERYTHING", "Stats", "Tailed", "Appended", "Receipt", "base_url", "shown_url"}
    assert {name for name in names if f"`{name}" not in PAGE and name not in PAGE} <= of_our_commands
