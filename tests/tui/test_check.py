"""`audit-tui check FILE`, without a daemon."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from audit_stream.bundle import BundleOrigin, make
from audit_tui.cli.check import check_file
from tests.tui.fake_log import make_log, tampered

LOG = make_log(10)
WRITTEN = BundleOrigin(log="http://x\x1b[31m", console="0.2.0", at="2026-05-15T03:14:15Z")


def bundle(*, events: list[bytes] = LOG.raw, left_out: bool = False) -> bytes:
    return make(events, selected=[4, 5], head=LOG.head, written=WRITTEN, left_out=left_out)


def checked(path: Path, content: bytes | None) -> tuple[int, str]:
    if content is not None:
        path.write_bytes(content)
    out = io.StringIO()
    return check_file(path, out=out), out.getvalue()


def test_an_intact_bundle_exits_0_and_tells_proven_from_claimed(tmp_path: Path) -> None:
    code, text = checked(tmp_path / "b.json", bundle())
    assert code == 0
    assert text.startswith("INTACT, linked to the head #10: 2 selected events, 10 in the bundle\n")
    assert text.index("Proven:") < text.index("Claimed, not proven:") < text.index("Not proven:")


def test_text_from_the_file_is_escaped(tmp_path: Path) -> None:
    _, text = checked(tmp_path / "b.json", bundle())
    assert "http://x\\x1b[31m" in text
    assert "\x1b" not in text


def test_a_bundle_that_is_not_linked_says_so_first(tmp_path: Path) -> None:
    code, text = checked(tmp_path / "b.json", bundle(events=LOG.raw[3:5], left_out=True))
    assert code == 0
    assert text.startswith("INTACT, but not linked to the head #10")


def test_a_broken_bundle_exits_1_and_names_the_event(tmp_path: Path) -> None:
    events = [*LOG.raw[:6], tampered(LOG.raw[6], source="mallory"), *LOG.raw[7:]]
    code, text = checked(tmp_path / "b.json", bundle(events=events))
    assert code == 1
    assert text.startswith("BROKEN at #7")
    assert "hash mismatch at event #7" in text


def test_many_faults_are_counted_and_not_all_printed(tmp_path: Path) -> None:
    log = make_log(60)
    events = [tampered(raw, source="mallory") for raw in log.raw]
    _, text = checked(tmp_path / "b.json", make(events, selected=[1], head=log.head, written=WRITTEN))
    assert "(and 40 more)" in text


@pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff\xfe", b"PK\x03\x04", b"[]"])
def test_what_is_no_bundle_exits_2_with_one_line(tmp_path: Path, content: bytes | None) -> None:
    code, text = checked(tmp_path / "b.json", content)
    assert code == 2
    assert len(text.splitlines()) == 1


def test_a_directory_exits_2(tmp_path: Path) -> None:
    code, text = checked(tmp_path, None)
    assert code == 2
    assert "directory" in text


@pytest.mark.parametrize(
    "content",
    [b"\n".join(LOG.raw), b"[" + b",\n".join(LOG.raw) + b"]", b"[" + b",".join(LOG.raw) + b"]"],
    ids=["lines", "array of lines", "array"],
)
def test_an_export_of_the_whole_log_is_checked_and_exits_0(tmp_path: Path, content: bytes) -> None:
    code, text = checked(tmp_path / "e.jsonl", content)
    assert code == 0
    assert text.startswith("INTACT: 10 events, linked one to the next from #1 on\nNot proven:\n  That #10 ")
    assert LOG.head.hash in text


def test_an_export_that_is_a_part_exits_0_and_says_which_links_it_cannot_show(tmp_path: Path) -> None:
    code, text = checked(tmp_path / "e.jsonl", b"\n".join([*LOG.raw[1:4], *LOG.raw[6:], LOG.raw[0][:40]]))
    assert code == 0
    assert text.startswith("PART of a log, of which all holds that can be shown: 7 events\n")
    assert "What links #4 to #7 is not in the file" in text
    assert "It begins at #2" in text
    assert "It ends within line 8: the file is incomplete." in text


def test_a_broken_export_exits_1(tmp_path: Path) -> None:
    code, text = checked(tmp_path / "e.jsonl", b"\n".join([*LOG.raw[:4], tampered(LOG.raw[4], source="me")]))
    assert (code, text) == (1, "BROKEN at #5: hash mismatch at event #5\n")


@pytest.mark.parametrize("unbuffered", [[], ["-u"]], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("code", [0, 1], ids=["intact", "broken"])
def test_a_reader_that_goes_away_changes_no_exit_code(tmp_path: Path, code: int, unbuffered: list[str]) -> None:
    path = tmp_path / "b.json"
    raws = LOG.raw if code == 0 else [tampered(raw, source="mallory") for raw in LOG.raw]
    path.write_bytes(bundle(events=raws))
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [sys.executable, *unbuffered, "-m", "audit_tui", "check", str(path)]
    with os.fdopen(write_end, "wb") as pipe:
        found = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, check=False)
    assert (found.returncode, found.stderr) == (code, b"")


def test_it_needs_neither_textual_nor_a_client_for_a_bundle() -> None:
    code = (
        "import audit_tui.cli.check, sys; print([m for m in ('textual', 'rich', 'httpx', 'lark') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
