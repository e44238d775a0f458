"""The file that `audit-stream export -o` writes: whole, the user's alone, and never through a link."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.daemon.command_line import DEADLINE_S, call, environment
from tests.daemon.test_cli_import import chained, write


@pytest.fixture
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("log")
    events = chained(*({"kind": "other", "source": "test"} for _ in range(3)))
    assert call("import", str(write(folder / "old.json", events)), "--db", str(folder / "audit.db")).code == 0
    return str(folder / "audit.db")


def test_it_is_private_whatever_the_umask(database: str, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        assert call("export", "--db", database, "-o", str(tmp_path / "chain.json")).code == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "chain.json").stat().st_mode) == 0o600


@pytest.mark.parametrize("there", [False, True])
def test_a_full_disk_leaves_what_was_there(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    path = tmp_path / "chain.json"
    if there:
        path.write_text("before")

    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    outcome = call("export", "--db", database, "-o", str(path))
    assert outcome.code == 2
    assert outcome.err == f"audit-stream: cannot write {path}: No space left on device\n"
    assert [each.read_text() for each in tmp_path.iterdir()] == ["before"] * there


def test_an_interrupted_export_leaves_what_was_there(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "chain.json"
    path.write_text("before")

    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    assert call("export", "--db", database, "-o", str(path)).code == 130
    assert [each.read_text() for each in tmp_path.iterdir()] == ["before"]


def test_a_link_in_its_place_is_replaced_and_not_followed(database: str, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("precious")
    (tmp_path / "chain.json").symlink_to(tmp_path / "other")
    assert call("export", "--db", database, "-o", str(tmp_path / "chain.json")).code == 0
    assert not (tmp_path / "chain.json").is_symlink()
    assert (tmp_path / "other").read_text() == "precious"


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_a_name_for_standard_output_is_written_to_and_stays(database: str, tmp_path: Path, name: str) -> None:
    """As root, the file would otherwise be put in place of /dev/stdout."""
    if not Path(name).exists():
        pytest.skip(f"no {name} here")
    with (tmp_path / "chain.json").open("wb") as out:
        subprocess.run(
            [sys.executable, "-m", "audit_daemon", "export", "--db", database, "-o", name],
            stdout=out, env=environment(), timeout=DEADLINE_S, check=True,
        )  # fmt: skip
    assert (tmp_path / "chain.json").read_text() == call("export", "--db", database).out
    assert [path.name for path in tmp_path.iterdir()] == ["chain.json"]
