"""A file is there whole, or not at all."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from audit_stream.whole_file import WholeFile, remove_parts, write_whole

BOTH = pytest.mark.parametrize("replace", [False, True])


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@BOTH
def test_it_is_private_whatever_the_umask_and_the_mode_of_what_it_replaces(tmp_path: Path, replace: bool) -> None:
    path = tmp_path / "a"
    if replace:
        path.touch(0o666)
    before = os.umask(0)
    try:
        write_whole(path, b"new", replace=replace)
    finally:
        os.umask(before)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names(tmp_path) == ["a"]


@BOTH
def test_without_a_commit_nothing_has_happened(tmp_path: Path, replace: bool) -> None:
    path = tmp_path / "a"
    if replace:
        path.write_text("old")
    before = names(tmp_path)
    with WholeFile(path, replace=replace) as file:
        file.write(b"half")
        assert names(tmp_path) != before
    assert names(tmp_path) == before
    assert not replace or path.read_text() == "old"


@pytest.mark.parametrize("what", ["file", "directory", "link", "dangling link", "pipe"])
def test_what_is_there_is_not_replaced_unasked(tmp_path: Path, what: str) -> None:
    path, other = tmp_path / "a", tmp_path / "other"
    if what != "dangling link":
        other.write_text("precious")
    match what:
        case "file":
            path.write_text("precious")
        case "directory":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case _:
            path.symlink_to(other)
    before = names(tmp_path)
    with pytest.raises(FileExistsError, match="File exists"):
        write_whole(path, b"new", replace=False)
    assert names(tmp_path) == before
    assert not other.exists() or other.read_text() == "precious"


def test_what_comes_meanwhile_is_not_replaced_unasked(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with WholeFile(path, replace=False) as file:
        path.write_text("precious")
        with pytest.raises(FileExistsError):
            file.commit()
    assert path.read_text() == "precious"
    assert names(tmp_path) == ["a"]


def test_a_link_in_its_place_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("precious")
    (tmp_path / "a").symlink_to(tmp_path / "other")
    write_whole(tmp_path / "a", b"new", replace=True)
    assert not (tmp_path / "a").is_symlink()
    assert (tmp_path / "a").read_bytes() == b"new"
    assert (tmp_path / "other").read_text() == "precious"


@BOTH
@pytest.mark.parametrize("step", ["fsync", "rename or link", "rename without links"])
def test_a_failure_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replace: bool, step: str
) -> None:
    path = tmp_path / "a"
    if replace:
        path.write_text("old")
    before = names(tmp_path)

    def failing(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if step == "fsync":
        monkeypatch.setattr(os, "fsync", failing)
    else:
        monkeypatch.setattr(os, "link", failing)
        monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="No space left on device"):
        write_whole(path, b"new", replace=replace)
    assert names(tmp_path) == before
    assert not replace or path.read_text() == "old"


def test_a_full_disk_is_an_error_and_not_half_a_file(tmp_path: Path) -> None:
    """The limit on the size of a file fails as a full disk does: within a write, and once more when it is closed."""
    program = (
        "import resource, signal, sys; from pathlib import Path; from audit_stream.whole_file import write_whole\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "write_whole(Path(sys.argv[1]), b'x' * 5000, replace=False)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "a")], capture_output=True, text=True, check=False
    )
    assert "File too large" in done.stderr
    assert names(tmp_path) == []


def test_a_process_that_is_killed_leaves_what_was_there_and_a_part_that_can_be_removed(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    program = (
        "import os, sys; from pathlib import Path; from audit_stream.whole_file import WholeFile\n"
        "file = WholeFile(Path(sys.argv[1]), replace=True); file.write(b'x' * 100_000); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "a")], check=False)
    assert (tmp_path / "a").read_text() == "old"
    assert len(names(tmp_path)) == 2
    remove_parts(tmp_path / "a")
    assert names(tmp_path) == ["a"]


def test_only_the_parts_of_this_file_are_removed(tmp_path: Path) -> None:
    others = [".b.x.part", ".a.x.other", "a.x.part", ".[a].x.part"]
    for name in (*others, ".a.x.part"):
        (tmp_path / name).touch()
    remove_parts(tmp_path / "a")
    assert names(tmp_path) == sorted(others)
    remove_parts(tmp_path / "[a]")
    assert names(tmp_path) == sorted(others[:-1])


@pytest.mark.parametrize("name", ["a" * 255, "ä" * 127, "😀" * 63, "%s*[", "-a"])
def test_every_name_that_a_file_can_have_can_be_written(tmp_path: Path, name: str) -> None:
    write_whole(tmp_path / name, b"new", replace=True)
    assert names(tmp_path) == [name]
