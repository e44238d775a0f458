"""A verdict comes from our own code, whatever lies in the folder or on the module path where we are started."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from audit_daemon.cli.demo.daemon import DemoDaemon
from audit_stream.chain import Head
from audit_stream.logfile import asking
from audit_stream.logfile.asking import NoVerdictError, ask
from audit_tui.offline import DatabaseLog
from tests.daemon.verifier.logs import edit, make
from tests.daemon.verifier.test_schedule import TAMPER
from tests.daemon_process import DEADLINE_S, wait_until_listening

FORGERY = """
import json, sys
print('{"started":true}', flush=True)
verdict = {"valid": True, "checked": 200, "first_break_at": None, "reason": None}
print(json.dumps({"asked": sys.argv[1:], "verdict": verdict}), flush=True)
"""


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder whose modules have the names of ours and of the standard library's."""
    folder = tmp_path / "hostile"
    package = folder / "audit_stream" / "logfile"
    package.mkdir(parents=True)
    for directory in (package, package.parent):
        (directory / "__init__.py").touch()
    (package / "process.py").write_text(FORGERY)
    for name in ("types", "uuid", "json", "sitecustomize", "usercustomize"):
        (folder / f"{name}.py").write_text("raise SystemExit('a hostile module was imported')")
    return folder


@pytest.fixture
def tampered(tmp_path: Path) -> Path:
    path = tmp_path / "audit.db"
    make(path, 200)
    edit(path, TAMPER)
    return path


@pytest.fixture
def in_hostile_folder(hostile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(hostile)
    monkeypatch.setenv("PYTHONPATH", str(hostile))
    monkeypatch.setenv("PYTHONSTARTUP", str(hostile / "types.py"))


def test_the_daemon_of_a_hostile_folder_says_what_is_true(hostile: Path, tampered: Path) -> None:
    script = Path(sys.executable).with_name("audit-stream")
    ours = {"AUDIT_STREAM_CONFIG": os.devnull, "AUDIT_STREAM_VERIFY_INTERVAL_S": "0"}
    command = [str(script), "--host", "127.0.0.1", "--port", "0", "--db", str(tampered)]
    with subprocess.Popen(command, env=os.environ | ours, cwd=hostile, stderr=subprocess.PIPE) as process:
        daemon = wait_until_listening(process)
        try:
            verdict = httpx.get(f"{daemon.url}/verify", timeout=DEADLINE_S).json()
            assert (verdict["valid"], verdict["first_break_at"]) == (False, 5)
        finally:
            daemon.stop()


@pytest.mark.usefixtures("in_hostile_folder")
async def test_the_console_in_a_hostile_folder_says_what_is_true(tampered: Path) -> None:
    log = await DatabaseLog.open(tampered)
    try:
        verdict = await log.verify()
    finally:
        await log.close()
    assert (verdict.valid, verdict.first_break_at) == (False, 5)


@pytest.mark.usefixtures("in_hostile_folder")
async def test_the_demo_in_a_hostile_folder_runs_our_own_daemon(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    daemon = DemoDaemon(tmp_path / "demo")
    try:
        await daemon.start()
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"{daemon.url}/healthz")).json() == {"status": "ok"}
    finally:
        await daemon.stop()


@pytest.mark.usefixtures("in_hostile_folder")
def test_a_module_path_that_is_hostile_does_not_matter(tampered: Path) -> None:
    verdict = asyncio.run(ask(tampered))
    assert (verdict.valid, verdict.first_break_at) == (False, 5)


VALID = '"verdict":{"valid":true,"checked":200,"first_break_at":null,"reason":null}'

FORGED = {
    "the answer of before": VALID[len('"verdict":') :],
    "no question": f'{{"asked":[],{VALID}}}',
    "another nonce": f'{{"asked":["$1","{"0" * 32}","$3","$4"],{VALID}}}',
    "another head": f'{{"asked":["$1","$2","0","{"0" * 64}"],{VALID}}}',
    "another file": f'{{"asked":["/other.db","$2","$3","$4"],{VALID}}}',
    "neither verdict nor error": '{"asked":["$1","$2","$3","$4"]}',
    "no line": "",
    "a line without end": "x" * 70_000,
    "no JSON": "valid",
    "no UTF-8": "$(printf '\\377')",
}


@pytest.mark.parametrize("answer", FORGED)
def test_an_answer_to_anything_else_than_what_was_asked_is_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    script = tmp_path / "answer"
    quoted = FORGED[answer].replace('"', '\\"')
    script.write_text(f'#!/bin/sh\necho "{{\\"started\\":true}}"\necho "{quoted}"\n')
    script.chmod(0o755)
    monkeypatch.setattr(asking, "own_python", lambda _, *arguments: [str(script), *arguments])
    with pytest.raises(NoVerdictError):
        asyncio.run(ask(tmp_path / "audit.db", acknowledged=Head(200, "1" * 64)))


def test_an_answer_that_names_what_was_asked_is_a_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the test before could not fail."""
    script = tmp_path / "answer"
    quoted = f'{{"asked":["$1","$2","$3","$4"],{VALID}}}'.replace('"', '\\"')
    script.write_text(f'#!/bin/sh\necho "{{\\"started\\":true}}"\necho "{quoted}"\n')
    script.chmod(0o755)
    monkeypatch.setattr(asking, "own_python", lambda _, *arguments: [str(script), *arguments])
    assert asyncio.run(ask(tmp_path / "audit.db", acknowledged=Head(200, "1" * 64))).valid


def test_a_file_whose_name_is_no_text_is_verified(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff.db")
    make(path, 20)
    verdict = asyncio.run(ask(path))
    assert (verdict.valid, verdict.checked) == (True, 20)
