"""Events to a file: whole, or not at all."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from audit_stream.client import EVERYTHING, Selection
from audit_stream.errors import ClientError
from audit_tui.model.exporting import COLUMNS, ExportError, ExportFormat, FileExists, export, format_of
from tests.tui.fake_log import FakeLog, chained, make_log


def suffixes(directory: Path) -> list[str]:
    return [path.suffix for path in directory.iterdir()]


def quiet(reached: int, last: int, count: int) -> None:
    pass


def exported(
    log: FakeLog, path: Path, format_: ExportFormat = "jsonl", selection: Selection = EVERYTHING, **options: Any
) -> int:
    return asyncio.run(export(log, selection, path, format_, quiet, **options))


def test_json_lines_are_the_bytes_that_were_served(tmp_path: Path) -> None:
    log = make_log(1_234)
    assert exported(log, tmp_path / "all.jsonl") == 1_234
    assert (tmp_path / "all.jsonl").read_bytes() == b"".join(raw + b"\n" for raw in log.raw)


def test_only_what_is_selected_is_written(tmp_path: Path) -> None:
    assert exported(make_log(30), tmp_path / "cron.jsonl", selection=Selection(q="source:cron")) == 4
    lines = (tmp_path / "cron.jsonl").read_text().splitlines()
    assert [json.loads(line)["event_id"] for line in lines] == [7, 14, 21, 28]


def test_csv_has_all_fields_by_rfc_4180(tmp_path: Path) -> None:
    log = make_log(9)
    exported(log, tmp_path / "all.csv", "csv")
    text = (tmp_path / "all.csv").read_bytes().decode()
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    assert text.count("\r\n") == 10
    assert tuple(header) == COLUMNS
    assert [json.loads(row[4]) for row in rows] == [json.loads(raw)["payload"] for raw in log.raw]
    assert [row[6] for row in rows] == [json.loads(raw)["hash"] for raw in log.raw]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_is_a_formula(tmp_path: Path, start: str) -> None:
    log = FakeLog(list(chained([(f"{start}cmd|'/c calc'!A1", f'{start}HYPERLINK("x")', {})])))
    exported(log, tmp_path / "all.csv", "csv")
    with (tmp_path / "all.csv").open(newline="") as file:
        _, row = csv.reader(file)
    assert row[2] == f"'{start}cmd|'/c calc'!A1"
    assert row[3] == f'\'{start}HYPERLINK("x")'


def test_an_empty_selection_is_an_empty_file(tmp_path: Path) -> None:
    assert exported(make_log(0), tmp_path / "none.jsonl") == 0
    assert exported(make_log(5), tmp_path / "none.csv", "csv", Selection(q="source:nobody")) == 0
    assert (tmp_path / "none.jsonl").read_bytes() == b""
    assert (tmp_path / "none.csv").read_bytes() == ",".join(COLUMNS).encode() + b"\r\n"


def test_an_existing_file_is_kept_unless_told(tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    path.write_text("precious")
    with pytest.raises(FileExists, match="is there already"):
        exported(make_log(3), path)
    assert path.read_text() == "precious"
    assert exported(make_log(3), path, overwrite=True) == 3
    assert path.read_bytes().count(b"\n") == 3
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"

    def appear(reached: int, last: int, count: int) -> None:
        path.write_text("precious")

    with pytest.raises(FileExists):
        asyncio.run(export(make_log(3), EVERYTHING, path, "jsonl", appear))
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


def test_a_daemon_that_goes_away_leaves_nothing_behind(tmp_path: Path) -> None:
    log = make_log(1_200)
    with pytest.raises(ClientError, match="no daemon answers"):
        asyncio.run(export(log, EVERYTHING, tmp_path / "all.jsonl", "jsonl", lambda *_: log.go_away()))
    assert list(tmp_path.iterdir()) == []


async def test_a_cancelled_export_leaves_nothing_behind(tmp_path: Path) -> None:
    log = make_log(1_200)
    log.hold_after(700)
    begun = asyncio.Event()
    task = asyncio.create_task(export(log, EVERYTHING, tmp_path / "all.jsonl", "jsonl", lambda *_: begun.set()))
    await begun.wait()
    assert suffixes(tmp_path) == [".part"]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert suffixes(tmp_path) == []


def test_what_comes_in_meanwhile_does_not_make_it_endless(tmp_path: Path) -> None:
    log = make_log(600)

    def grow(reached: int, last: int, count: int) -> None:
        log.append()

    assert asyncio.run(export(log, EVERYTHING, tmp_path / "all.jsonl", "jsonl", grow)) == 600


@pytest.mark.parametrize("name", ["missing/all.jsonl", "file/all.jsonl"])
def test_a_place_that_cannot_be_written_is_said(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ExportError, match="cannot be written"):
        exported(make_log(3), tmp_path / name)


def test_a_directory_in_its_place_is_said(tmp_path: Path) -> None:
    (tmp_path / "all.jsonl").mkdir()
    with pytest.raises(ExportError, match="cannot be written"):
        exported(make_log(3), tmp_path / "all.jsonl", overwrite=True)
    assert list(tmp_path.iterdir()) == [tmp_path / "all.jsonl"]


def test_a_full_disk_is_said_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(ExportError, match="No space left on device"):
        exported(make_log(3), tmp_path / "all.jsonl")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("is_there", [False, True])
def test_a_file_system_without_links_is_written_to_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    path = tmp_path / "all.jsonl"

    def refuse(source: Path, target: Path) -> None:
        if is_there:
            path.write_text("precious")  # by somebody else, meanwhile
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    if is_there:
        with pytest.raises(FileExists):
            exported(make_log(3), path)
        assert path.read_text() == "precious"
    else:
        assert exported(make_log(3), path) == 3
        assert path.read_bytes().count(b"\n") == 3
    assert list(tmp_path.iterdir()) == [path]


def test_the_format_is_told_by_the_suffix() -> None:
    assert format_of(Path("x.JSONL")) == format_of(Path("x.ndjson")) == "jsonl"
    assert format_of(Path("x.csv")) == "csv"
    assert format_of(Path("x.json")) is None


def test_progress_reaches_the_head_even_when_few_pass_the_filter(tmp_path: Path) -> None:
    seen: list[tuple[int, int, int]] = []
    log = make_log(1_200)
    progress = lambda *step: seen.append(step)  # noqa: E731
    asyncio.run(export(log, Selection(q="-source:cron"), tmp_path / "x.jsonl", "jsonl", progress))
    assert [count for _, _, count in seen] == [500, 1_000, 1_029]
    assert seen[-1] == (1_200, 1_200, 1_029)
    assert all(last == 1_200 for _, last, _ in seen)
