"""The console as a person has it: a real terminal, a real daemon, a real database file."""

from __future__ import annotations

import http.server
import json
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.daemon_process import DaemonProcess, start_daemon
from tests.terminal import MISSING_TMUX, Terminal, has_tmux, terminal

pytestmark = pytest.mark.skipif(not has_tmux(), reason=MISSING_TMUX)

CONSOLE = (sys.executable, "-m", "audit_tui")

EDIT = """
UPDATE events SET canonical = CAST(replace(canonical, 'request_', 'bequest_') AS BLOB) WHERE event_id = 42
"""


def post(daemon: DaemonProcess, count: int, *, kind: str = "request_allowed", **payload: Any) -> None:
    for start in range(0, count, 1000):
        body = [
            {"kind": kind, "source": "policy-as-code-engine", "payload": {"n": number, **payload}}
            for number in range(start, min(count, start + 1000))
        ]
        httpx.post(f"{daemon.url}/events/batch", json=body).raise_for_status()


@contextmanager
def console(*arguments: str, **options: Any) -> Iterator[Terminal]:
    with terminal((*CONSOLE, *arguments), **options) as found:
        yield found


def test_events_appear_live_and_the_badge_says_verified(tmp_path: Path) -> None:
    with start_daemon(tmp_path / "audit.db") as daemon, console(daemon.url) as term:
        term.wait_for("the log is empty")
        post(daemon, 3)
        term.wait_for(r"^│ +3 .* n=2")
        term.wait_for("live")
        term.keys("v")
        term.wait_for("VERIFIED 3 events")


def test_a_filter_narrows_what_is_shown_and_says_so(tmp_path: Path) -> None:
    with start_daemon(tmp_path / "audit.db") as daemon, console(daemon.url) as term:
        post(daemon, 50)
        post(daemon, 2, kind="request_denied")
        term.wait_for(r"^│ +52 ")
        term.keys("/")
        term.type("kind:request_denied")
        term.keys("Enter")
        screen = term.wait_for("2 of 52 shown")
        assert "request_allowed" not in screen
        post(daemon, 1, kind="request_denied")
        term.wait_for(r"^. +53 ")


def test_paused_it_counts_with_the_worst_and_one_key_returns(tmp_path: Path) -> None:
    with start_daemon(tmp_path / "audit.db") as daemon, console(daemon.url) as term:
        post(daemon, 100)
        term.wait_for(r"^│ +100 ")
        term.keys("Up", "Up")
        term.wait_for("PAUSED")
        before = term.lines()[:-2]
        post(daemon, 30, kind="breaker_opened")
        term.wait_for(r"PAUSED \+30 new, worst critical")
        assert [line[:60] for line in term.lines()[:-2]] == [line[:60] for line in before]
        term.keys("End")
        term.wait_for(r"^│ +130 ")


def test_scrolling_back_reaches_event_1_of_20000(tmp_path: Path) -> None:
    with start_daemon(tmp_path / "audit.db") as daemon:
        post(daemon, 20_000)
        with console(daemon.url) as term:
            term.wait_for(r"^│ +20000 ")
            term.keys("Home")
            term.wait_for(r"^│ +1 ")
            term.keys("End")
            term.wait_for(r"^│ +20000 ")

            def first_after_more(screen: str) -> bool:
                term.keys(*["PageUp"] * 10)
                return any(line.split()[1:2] == ["1"] for line in screen.splitlines())

            term.wait_for(first_after_more, deadline_s=60)


def test_a_daemon_that_is_killed_and_restarted_leaves_no_gap(tmp_path: Path) -> None:
    database = tmp_path / "audit.db"
    with start_daemon(database) as daemon:
        post(daemon, 10)
        with console(daemon.url) as term:
            term.wait_for(r"^│ +10 ")
            daemon.kill()
            screen = term.wait_for("retrying")
            assert "request_allowed" in screen
            with start_daemon(database, "--port", str(daemon.port)) as again:
                post(again, 25)
                screen = term.wait_for(r"^│ +35 ")
                term.wait_for("live")
                ids = [int(line.split()[1]) for line in screen.splitlines() if line.startswith("│")]
                assert ids == list(range(ids[0], 36))


def edit(database: Path, statement: str) -> None:
    connection = sqlite3.connect(database)
    with connection:
        connection.execute(statement)
    connection.close()


def test_an_edited_row_turns_the_badge_red_naming_the_event(tmp_path: Path) -> None:
    database = tmp_path / "audit.db"
    with start_daemon(database) as daemon:
        post(daemon, 60)
        with console("--verify-every", "1", daemon.url) as term:
            term.wait_for("VERIFIED 60 events")
            edit(
                database,
                EDIT,
            )
            term.wait_for("BROKEN at #42")
            term.keys("b")
            term.wait_for("bequest_allowed")
            term.keys("Escape")
            term.wait_for("payload")  # before the next key, or the two would be Alt+A
            term.keys("a")
            term.wait_for(r"BROKEN at #42 · acknowledged")


@pytest.mark.parametrize("count", [5, 40])
def test_another_history_is_rewritten_also_when_it_is_valid(tmp_path: Path, count: int) -> None:
    with start_daemon(tmp_path / "first.db") as daemon:
        post(daemon, 20)
        with console("--verify-every", "1", daemon.url) as term:
            term.wait_for("VERIFIED 20 events")
            daemon.kill()
            term.wait_for("retrying")
            with start_daemon(tmp_path / "second.db", "--port", str(daemon.port)) as other:
                post(other, count, forged=True)
                term.wait_for("REWRITTEN")


def test_a_remembered_head_tells_the_next_session(tmp_path: Path) -> None:
    state = {"AUDIT_TUI_STATE": str(tmp_path / "state")}
    with start_daemon(tmp_path / "first.db") as daemon:
        post(daemon, 20)
        with console(daemon.url, env=state) as term:
            term.wait_for("VERIFIED 20 events")
            term.keys("q")
            assert term.exit_code() == 0
        daemon.kill()
        with start_daemon(tmp_path / "second.db", "--port", str(daemon.port)) as other:
            post(other, 30, forged=True)
            with console(other.url, env=state) as term:
                term.wait_for("REWRITTEN")


def test_a_tampered_file_is_opened_without_a_daemon_and_named(tmp_path: Path) -> None:
    database = tmp_path / "audit.db"
    with start_daemon(database) as daemon:
        post(daemon, 60)
    edit(
        database,
        EDIT,
    )
    with console("--db", str(database)) as term:
        term.wait_for("BROKEN at #42")
        term.wait_for("✗ +42 ")


def test_an_export_is_opened_without_a_daemon(tmp_path: Path) -> None:
    export = tmp_path / "export.jsonl"
    with start_daemon(tmp_path / "audit.db") as daemon:
        post(daemon, 60)
        export.write_bytes(httpx.get(f"{daemon.url}/events", headers={"Accept": "application/x-ndjson"}).content)
    with console("--file", str(export)) as term:
        term.wait_for(r"^│ +60 ")
        term.wait_for("VERIFIED 60 events")


HOSTILE = {
    "control": "\x1b[31m\x1b]0;owned\x07\x9b2J\x00\r\n\t",
    "bidi": "\u202egnp.exe\u2066",
    "zero": "a\u200b\u200d\ufeffb",
    "wide": "宽" * 300,
    "astral": "🔐👩‍👩‍👧‍👦" * 50,
    "long": "x" * 60_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_reaches_no_terminal_and_breaks_no_line(tmp_path: Path, name: str) -> None:
    with start_daemon(tmp_path / "audit.db") as daemon, console(daemon.url, width=80, height=24) as term:
        post(daemon, 2, text=HOSTILE[name])
        term.wait_for(r"^│ +2 ")
        term.wait_for("VERIFIED|UNVERIFIED|VERIFYING")
        term.keys("Enter")
        term.wait_for("1 Payload")
        term.keys("Escape")
        term.wait_for(r"^│ +2 ")
        assert b"owned\x07" not in term.output
        assert "\u202e".encode() not in term.output
        assert all(len(line) <= 80 for line in term.lines())


def test_a_payload_of_128_levels_can_be_opened(tmp_path: Path) -> None:
    payload: dict[str, Any] = {}
    for _ in range(126):
        payload = {"a": payload}
    with start_daemon(tmp_path / "audit.db") as daemon, console(daemon.url) as term:
        httpx.post(
            f"{daemon.url}/events", json={"kind": "other", "source": "deep", "payload": payload}
        ).raise_for_status()
        term.wait_for(r"^│ +1 ")
        term.keys("Enter")
        term.wait_for("1 key")


def test_a_terminal_of_20_by_5_and_back(tmp_path: Path) -> None:
    with start_daemon(tmp_path / "audit.db") as daemon, console(daemon.url) as term:
        post(daemon, 50)
        term.wait_for(r"^│ +50 ")
        term.resize(20, 5)
        term.wait_for(lambda screen: len(screen.splitlines()) <= 5)
        term.resize(120, 40)
        term.wait_for(r"^│ +50 .*request_allowed")


@pytest.mark.parametrize("ending", ["C-c", "q", signal.SIGTERM])
def test_the_terminal_is_left_clean(tmp_path: Path, ending: str | signal.Signals) -> None:
    with start_daemon(tmp_path / "audit.db") as daemon, console(daemon.url) as term:
        post(daemon, 5)
        term.wait_for(r"^│ +5 ")
        if isinstance(ending, signal.Signals):
            term.signal(ending)
        else:
            term.keys(ending)
        term.exit_code()
        term.assert_clean()


def test_a_window_that_is_closed_ends_the_console(tmp_path: Path) -> None:
    with start_daemon(tmp_path / "audit.db") as daemon, console(daemon.url) as term:
        term.wait_for("the log is empty")
        term.hang_up()


@contextmanager
def service(status: int, body: bytes, media_type: str = "application/json") -> Iterator[str]:
    """Another service, which answers everything in the same way."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body)))
            if 300 <= status < 400:
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "media_type"),
    [
        (200, b"<html><h1>It works!</h1></html>", "text/html"),
        (500, b"oops", "text/plain"),
        (302, b"", "text/plain"),
        (200, json.dumps({"status": "ok", "items": []}).encode(), "application/json"),
        (200, b'{"count": 1, "last_event_id"', "application/json"),
        (404, b"not found", "text/plain"),
    ],
)
def test_another_service_is_reported_in_a_line_and_tried_again(status: int, body: bytes, media_type: str) -> None:
    with service(status, body, media_type) as url, console(url) as term:
        screen = term.wait_for("retrying|refused")
        assert "Traceback" not in screen
        term.keys("q")
        assert term.exit_code() == 0


def test_without_a_terminal_it_names_the_command_for_pipes() -> None:
    done = subprocess.run(CONSOLE, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert "audit-stream tail" in done.stderr


def test_no_color_shows_none(tmp_path: Path) -> None:
    with start_daemon(tmp_path / "audit.db") as daemon, console(daemon.url, env={"NO_COLOR": "1"}) as term:
        post(daemon, 5, kind="breaker_opened")
        term.wait_for(r"CRIT|‼")


def test_an_evidence_bundle_is_written_and_checked_without_a_daemon(tmp_path: Path) -> None:
    with start_daemon(tmp_path / "audit.db") as daemon, console(daemon.url, cwd=tmp_path) as term:
        post(daemon, 30)
        term.wait_for("VERIFIED")
        term.wait_for(r"^│ +30 ")
        term.keys("Up", "S-Up", "S-Up", "E")
        term.wait_for("audit-tui check")
    (bundle,) = tmp_path.glob("audit-stream-evidence-*.json")
    done = subprocess.run([*CONSOLE, "check", str(bundle)], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr
    bundle.write_bytes(bundle.read_bytes().replace(b"request_allowed", b"request_denied", 1))
    done = subprocess.run([*CONSOLE, "check", str(bundle)], capture_output=True, text=True, timeout=30)
    assert done.returncode in (1, 2), done.stdout
