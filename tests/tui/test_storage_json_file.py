"""Files that consoles share: whole or not there, private, and never the end of the console."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from audit_tui.storage.json_file import JsonFile, say_once, storable
from audit_tui.storage.shared_file import TooLarge, locked, private_directory, read_small, replace, set_aside


class Numbers(msgspec.Struct, frozen=True):
    numbers: list[int] = []


def record(path: Path, problems: list[str], *, max_bytes: int = 10_000) -> JsonFile[Numbers]:
    return JsonFile(path, Numbers, what="the list", max_bytes=max_bytes, problems=problems)


def adding(number: int) -> Callable[[Numbers | None], Numbers]:
    return lambda found: Numbers([*(found.numbers if found else []), number])


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_files_and_directories_are_private_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "list.json"
    before = os.umask(0)
    try:
        record(path, []).change(adding(1))
    finally:
        os.umask(before)
    assert mode(path) == 0o600
    assert mode(path.with_name("list.json.lock")) == 0o600
    assert mode(path.parent) == mode(path.parent.parent) == 0o700


def test_what_was_written_is_read(tmp_path: Path) -> None:
    problems: list[str] = []
    record(tmp_path / "list.json", problems).change(adding(1))
    assert record(tmp_path / "list.json", problems).read() == Numbers([1])
    assert problems == []


def test_nothing_is_written_when_nothing_changes(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    record(path, []).change(adding(1))
    before = path.stat().st_ino
    record(path, []).change(lambda found: found or Numbers())
    assert path.stat().st_ino == before


def test_writers_in_many_threads_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "list.json"

    def write(first: int) -> None:
        mine = record(path, [])
        for number in range(first, first + 10):
            mine.change(adding(number))

    threads = [threading.Thread(target=write, args=(first,)) for first in range(0, 40, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = record(path, []).read()
    assert found is not None
    assert sorted(found.numbers) == list(range(40))


_ADDS_TWO = """
import sys
from pathlib import Path
from audit_tui.storage.shared_file import locked, replace
path = Path(sys.argv[1])
print("waiting", flush=True)
with locked(path):
    replace(path, path.read_bytes() + b"2")
"""


def test_another_process_waits_for_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "list"
    with locked(path):
        other = subprocess.Popen([sys.executable, "-c", _ADDS_TWO, str(path)], stdout=subprocess.PIPE)
        assert other.stdout is not None
        with other.stdout:
            assert other.stdout.readline() == b"waiting\n"
        replace(path, b"1")
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(0.2)
    assert other.wait(30) == 0
    assert path.read_bytes() == b"12"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"numbers":["one"]}',
        b"[1]",
        b"\xff\xfe",
        b"\0" * 100,
        b"[" * 9_000,
        b'{"numbers":[' + b"1," * 6_000 + b"1]}",
    ],
    ids=["empty", "truncated", "another-type", "another-shape", "no-utf-8", "zeros", "nested", "huge"],
)
def test_a_damaged_file_is_kept_aside_and_said_once(tmp_path: Path, content: bytes) -> None:
    path, problems = tmp_path / "list.json", list[str]()
    path.write_bytes(content)
    damaged = record(path, problems)
    assert damaged.read() is None
    assert damaged.read() is None
    assert damaged.change(adding(7)) == Numbers([7])
    [aside] = tmp_path.glob("list.json.corrupt-*")
    assert aside.read_bytes() == content
    assert len(problems) == 1
    assert str(aside) in problems[0]
    assert damaged.read() == Numbers([7])


def test_two_files_set_aside_at_the_same_time_are_both_kept(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    for content in (b"1", b"2", b"3"):
        path.write_bytes(content)
        set_aside(path, 5)
    assert sorted(each.read_bytes() for each in tmp_path.iterdir()) == [b"1", b"2", b"3"]


def test_a_pipe_in_the_files_place_does_not_stop_the_console(tmp_path: Path) -> None:
    path, problems = tmp_path / "list.json", list[str]()
    os.mkfifo(path)
    assert record(path, problems).read() is None
    assert len(problems) == 1


def test_a_directory_in_the_files_place_is_a_problem_and_no_crash(tmp_path: Path) -> None:
    path, problems = tmp_path / "list.json", list[str]()
    path.mkdir()
    record(path, problems).read()
    assert len(problems) == 1


def test_a_file_in_the_directorys_place_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"")
    problems: list[str] = []
    blocked = record(tmp_path / "state" / "list.json", problems)
    assert blocked.change(adding(1)) is None
    assert blocked.change(adding(2)) is None
    assert len(problems) == 1
    assert "cannot be saved" in problems[0]


def test_a_read_only_directory_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def only_what_is_there(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT:  # as the system does, but for root
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, flags, mode)

    monkeypatch.setattr(os, "open", only_what_is_there)
    problems: list[str] = []
    read_only = record(tmp_path / "list.json", problems)
    assert read_only.change(adding(1)) is None
    assert read_only.change(adding(2)) is None
    assert len(problems) == 1
    assert "Permission denied" in problems[0]


def test_content_that_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    path, problems = tmp_path / "list.json", list[str]()
    small = record(path, problems, max_bytes=60)
    small.change(adding(1))
    assert small.change(lambda _: Numbers([1] * 50)) is None
    assert small.read() == Numbers([1])
    assert "more than 60 bytes" in problems[0]


@pytest.mark.parametrize("step", ["fsync", "rename"])
def test_a_failure_before_the_rename_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path, problems = tmp_path / "list.json", list[str]()
    record(path, problems).change(adding(1))

    def failing(*_: object) -> None:
        raise OSError(28, "No space left on device")

    if step == "fsync":
        monkeypatch.setattr(os, "fsync", failing)
    else:
        monkeypatch.setattr(Path, "rename", failing)
    assert record(path, problems).change(adding(2)) is None
    monkeypatch.undo()
    assert record(path, problems).read() == Numbers([1])
    assert {each.name for each in tmp_path.iterdir()} == {"list.json", "list.json.lock"}
    assert "No space left" in problems[0]


def test_what_a_crash_left_before_the_rename_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    record(path, []).change(adding(1))
    left = path.with_name(".list.json.a1b2.part")
    left.write_bytes(b"half of a fi" * 100)
    left.chmod(0o644)
    assert record(path, []).read() == Numbers([1])
    record(path, []).change(adding(2))
    assert record(path, []).read() == Numbers([1, 2])
    assert mode(path) == 0o600
    assert not left.exists()


def test_a_small_file_is_read_whole_and_a_missing_one_is_none(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_small(tmp_path / "a", max_bytes=5) == b"12345"
    assert read_small(tmp_path / "b", max_bytes=5) is None
    with pytest.raises(TooLarge):
        read_small(tmp_path / "a", max_bytes=4)


def test_a_directory_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    private_directory(tmp_path)
    assert mode(tmp_path) == 0o755


def test_a_problem_is_safe_to_show_and_said_once() -> None:
    problems: list[str] = []
    say_once(problems, "a\x1b[31m")
    say_once(problems, "a\x1b[31m")
    assert problems == ["a\\x1b[31m"]


def test_a_path_that_is_no_text_can_be_stored() -> None:
    assert msgspec.json.decode(msgspec.json.encode(storable("/tmp/\udcff"))) == "/tmp/\\udcff"
