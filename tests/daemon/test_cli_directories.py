"""Which directories are made: that of the default database, and never one that somebody has typed."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from audit_daemon.cli.errors import COULD_NOT
from tests.daemon.command_line import call, call_process, environment
from tests.daemon_process import DEADLINE_S, spawn, wait_until_listening

EMPTY_CHAIN = "[]"


def test_a_daemon_does_not_make_a_mistyped_directory(tmp_path: Path) -> None:
    process = spawn(tmp_path / "typo" / "dir" / "audit.db")
    _, log = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1
    assert f"there is no directory {tmp_path}/typo/dir".encode() in log
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [["import", "{chain}"], ["verify"], ["export"]])
def test_a_command_does_not_make_a_mistyped_directory(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "chain.json").write_text(EMPTY_CHAIN)
    arguments = [each.format(chain=tmp_path / "chain.json") for each in command]
    outcome = call(*arguments, "--db", str(tmp_path / "typo" / "audit.db"))
    assert (outcome.code, outcome.out) == (2, "")
    assert f"{tmp_path}/typo" in outcome.err
    assert [path.name for path in tmp_path.iterdir()] == ["chain.json"]


def test_an_export_does_not_make_the_directory_of_its_output(tmp_path: Path) -> None:
    (tmp_path / "chain.json").write_text(EMPTY_CHAIN)
    assert call("import", str(tmp_path / "chain.json"), "--db", str(tmp_path / "audit.db")).code == 0
    outcome = call("export", "--db", str(tmp_path / "audit.db"), "-o", str(tmp_path / "typo" / "chain.json"))
    assert outcome == (
        2,
        "",
        f"audit-stream: cannot write {tmp_path}/typo/chain.json: No such file or directory\n",
    )


def test_the_default_directory_is_made_by_an_import_and_by_the_daemon(tmp_path: Path) -> None:
    (tmp_path / "chain.json").write_text(EMPTY_CHAIN)
    for name in ("import", "daemon"):
        home = tmp_path / name
        home.mkdir()
        env = environment(HOME=str(home), XDG_DATA_HOME=str(home / "data"), PORT="0", HOST="127.0.0.1")
        if name == "import":
            assert call_process("import", str(tmp_path / "chain.json"), env=env).code == 0
        else:
            with subprocess.Popen([sys.executable, "-m", "audit_daemon"], env=env, stderr=subprocess.PIPE) as process:
                wait_until_listening(process)
                process.terminate()
        (database,) = home.rglob("audit.db")
        assert stat.S_IMODE(database.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "command",
    [
        ["export", "--db", "~nosuchuser/a.db"],
        ["export", "-o", "~nosuchuser/x.json"],
        ["verify", "--db", "~nosuchuser/a.db"],
        ["import", "~nosuchuser/x.json"],
        ["--install-completion", "--shell", "bash", "--output", "~nosuchuser/x"],
    ],
    ids=" ".join,
)
def test_the_home_of_nobody_is_a_place_that_is_not_there(command: list[str]) -> None:
    done = call_process(*command)
    assert done.code == COULD_NOT
    assert len(done.err.splitlines()) == 1
    assert "~nosuchuser" in done.err
