"""Whatever the console writes for a person is there whole, is theirs alone, and replaces nothing unasked."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from audit_stream.client import EVERYTHING
from audit_stream.errors import AuditStreamError
from audit_tui.model.exporting import export
from audit_tui.screens.handover import HandoverScreen
from audit_tui.storage.json_file import JsonFile
from audit_tui.storage.new_file import write_new
from tests.tui.fake_log import make_log
from tests.tui.test_storage_screens import pressing, run


class Content(msgspec.Struct, frozen=True):
    text: str = "new"


def write_export(path: Path) -> None:
    asyncio.run(export(make_log(3), EVERYTHING, path, "jsonl", lambda *_: None))


def write_evidence(path: Path) -> None:
    os.chdir(path.parent)
    write_new(path.name, "", b"new")


def write_handover(path: Path) -> None:
    os.chdir(path.parent)
    said = run(HandoverScreen("new"), pressing("w", *path.name, "enter")).said_last
    if not said.startswith("✓"):
        raise OSError(said)


def write_shared(path: Path) -> None:
    problems: list[str] = []
    file = JsonFile(path, Content, what="the file", max_bytes=1000, problems=problems)
    if file.change(lambda _: Content()) is None:
        raise OSError(*problems)


Write = Callable[[Path], None]
ASKED_FOR = pytest.mark.parametrize("write", [write_export, write_evidence, write_handover])
EVERY = pytest.mark.parametrize("write", [write_export, write_evidence, write_handover, write_shared])


@pytest.fixture(autouse=True)
def _back_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # the writers change it


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if path.suffix != ".lock")


@EVERY
def test_it_is_private_whatever_the_umask(tmp_path: Path, write: Write) -> None:
    before = os.umask(0)
    try:
        write(tmp_path / "a")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    assert names(tmp_path) == ["a"]


@EVERY
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises((OSError, AuditStreamError), match="No space left on device"):
        write(tmp_path / "a")
    assert names(tmp_path) == []


@EVERY
def test_interrupted_at_the_last_moment_it_leaves_nothing(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(Exception):
        pass

    def interrupt(descriptor: int) -> None:
        raise Interrupted

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(Exception):  # noqa: B017 - the screen's comes as what became of its worker
        write(tmp_path / "a")
    assert names(tmp_path) == []


@ASKED_FOR
@pytest.mark.parametrize("there", ["a file", "a link"])
def test_what_is_there_is_not_replaced_unasked(tmp_path: Path, write: Write, there: str) -> None:
    kept = tmp_path / ("a" if there == "a file" else "other")
    kept.write_text("precious")
    if there == "a link":
        (tmp_path / "a").symlink_to(kept)
    before = names(tmp_path)
    if write is write_evidence:
        write(tmp_path / "a")
        assert names(tmp_path) == sorted([*before, "a-1"])
    else:
        with pytest.raises((OSError, AuditStreamError), match="there already"):
            write(tmp_path / "a")
        assert names(tmp_path) == before
    assert kept.read_text() == "precious"


def test_a_link_in_place_of_a_shared_file_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_text('{"text":"precious"}')
    (tmp_path / "a").symlink_to(tmp_path / "other")
    write_shared(tmp_path / "a")
    assert not (tmp_path / "a").is_symlink()
    assert (tmp_path / "other").read_text() == '{"text":"precious"}'
