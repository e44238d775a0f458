"""The console as a person has it: a real terminal, a real daemon, a real database file."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import re
import shutil
import signal
import socket
import socketserver
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

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


def test_what_was_missed_in_a_long_absence_is_a_row_that_enter_loads(tmp_path: Path) -> None:
    database = tmp_path / "audit.db"
    with start_daemon(database) as daemon:
        post(daemon, 10)
        with console(daemon.url) as term:
            term.wait_for(r"^│ +10 ")
            daemon.kill()
            term.wait_for("retrying")
            with start_daemon(database) as unseen:  # at another port
                post(unseen, 51_000)
                assert unseen.stop() == 0
            with start_daemon(database, "--port", str(daemon.port)):
                term.wait_for(r"^[│┊] +51010 ", deadline_s=40)
                term.wait_for("VERIFIED 51,010 events")
                term.keys("g")
                term.wait_for("Go to")
                term.type("10")
                term.keys("Enter")
                missed = r"┄ ([\d,]+) missed, \S+, #(\d+)–#[\d,]+, Enter to load"
                before = re.search(missed, term.wait_for(missed))
                assert before is not None
                assert before[2] == "11"
                term.keys("Down", "Enter")
                screen = term.wait_for(lambda screen: re.search(r"^│ +11 ", screen, re.MULTILINE))
                assert "✗" not in screen


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
            edit(database, EDIT)
            term.wait_for("BROKEN at #42")
            notification = "\x1b]9;audit-tui: BROKEN at #42 · they disagree\x07".encode()
            term.wait_for(lambda _: term.output.count(notification) == 1)
            term.keys("b")
            term.wait_for("bequest_allowed")
            term.keys("Escape")
            term.wait_for("payload")  # before the next key, or the two would be Alt+A
            term.keys("a")
            term.wait_for(r"BROKEN at #42 · they disagree · acknowledged")
            assert term.output.count(b"\x1b]9;") == 1  # several verdicts later


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
    edit(database, EDIT)
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
NEVER_RAW = [b"owned\x07", b"\x9b2J", b"\xc2\x9b", *(mark.encode() for mark in "\u202e\u2066\u200b\u200d\ufeff")]


def assert_nothing_raw(term: Terminal) -> None:
    assert [raw for raw in NEVER_RAW if raw in term.output] == []


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_reaches_no_terminal_and_breaks_no_line(tmp_path: Path, name: str) -> None:
    with start_daemon(tmp_path / "audit.db") as daemon, console(daemon.url, width=80, height=24) as term:
        hostile: dict[str, Any] = {"text": HOSTILE[name], HOSTILE[name][:60]: 1}
        post(daemon, 2, **hostile)
        term.wait_for("VERIFIED 2 events")
        term.wait_for(r"^│ +2 ")
        first, *rows, last = term.lines()
        assert first.split()[0] == "#"
        assert [row.split()[:2] for row in rows if row.strip()] == [["│", "1"], ["│", "2"]]
        assert "VERIFIED" in last
        term.keys("Enter")
        term.wait_for("1 Payload")
        term.keys("2")
        term.keys("3")
        term.keys("Escape")
        term.wait_for(r"^│ +2 ")
        assert_nothing_raw(term)


def test_hostile_text_in_any_field_of_an_export_is_escaped(tmp_path: Path) -> None:
    export = tmp_path / "export.jsonl"
    bad = "".join(HOSTILE[name] for name in ("control", "bidi", "zero"))
    event = {"event_id": 1, "kind": bad, "payload": {bad: bad}, "prev_hash": "0" * 64, "source": bad}
    export.write_text(json.dumps(event | {"timestamp": bad, "hash": "a" * 64}) + "\n")
    with console("--file", str(export), width=160) as term:
        term.wait_for(r"^✗ +1 ")
        table = r"^✗ +1 "
        for key, there in (("Enter", "1 Payload"), ("Escape", table), ("b", "Checked by whom"), ("Escape", table)):
            term.keys(key)
            term.wait_for(there)
        term.keys("p")
        term.keys("i")
        term.keys("t")
        term.wait_for("times: ")
        assert_nothing_raw(term)


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


@pytest.mark.parametrize(
    "keys", ["", "Enter", "b", "p", "?", "g", "F", "e", "D", "/", "f", "=", "d", "C-p", "M", "Enter 2", "Enter 3"]
)
def test_a_terminal_of_20_by_5_and_back_on_every_screen(tmp_path: Path, keys: str) -> None:
    with start_daemon(tmp_path / "audit.db") as daemon, console(daemon.url) as term:
        post(daemon, 50)
        term.wait_for(r"^│ +50 .*request_allowed")
        for key in keys.split():
            term.wait_for_change(key)
        term.resize(20, 5)
        term.wait_for(lambda screen: len(screen.splitlines()) <= 5)
        term.keys("Down", "PageUp")
        term.resize(120, 40)
        term.keys(*["Escape"] * (len(keys.split()) or 1))
        post(daemon, 1, kind="request_denied")
        if keys not in ("", "p"):  # on the table the keys above have paused
            term.keys("End")
        term.keys("End")
        term.wait_for(r"^│ +51 .*request_denied")


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


class Answer(NamedTuple):
    """What another service answers to everything."""

    status: int
    body: bytes
    media_type: str = "application/json"
    endless: bool = False


@contextmanager
def service(answer: Answer, asked: list[str]) -> Iterator[str]:
    """Another service; the paths that it was asked for are added to `asked`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.media_type)
            if not answer.endless:
                self.send_header("Content-Length", str(len(answer.body)))
            if 300 <= answer.status < 400:
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.end_headers()
            with contextlib.suppress(OSError):  # the console has had enough
                self.wfile.write(answer.body)
                while answer.endless:
                    self.wfile.write(b"x" * 65_536)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, b"<html><h1>It works!</h1></html>", "text/html"),
        Answer(500, b"oops", "text/plain"),
        Answer(302, b"", "text/plain"),
        Answer(200, json.dumps({"status": "ok", "items": []}).encode()),
        Answer(200, b'{"count": 1, "last_event_id"'),
        Answer(200, b"\x1b]0;owned\x07\x00\xff\xfe", "application/octet-stream"),
        Answer(200, b'{"count": 1, "x": "', endless=True),
    ],
    ids=["html", "500", "redirect", "another", "half", "rubbish", "endless"],
)
def test_another_service_is_reported_in_a_line_and_tried_again(answer: Answer) -> None:
    asked: list[str] = []
    with service(answer, asked) as url, console(url) as term:
        screen = term.wait_for("retrying in")
        assert "Traceback" not in screen
        said = " ".join(line.strip() for line in screen.splitlines()[2:-1] if line.strip())
        assert len(said) <= 160, "more than a sentence"
        tried = len(asked)
        term.wait_for(lambda _: len(asked) > tried)
        assert int(Path(f"/proc/{term.pid}/statm").read_text().split()[1]) * 4096 < 150e6
        assert_nothing_raw(term)
        term.keys("q")
        assert term.exit_code() == 0


def test_a_refusal_says_why(tmp_path: Path) -> None:
    with service(Answer(404, b"not found", "text/plain"), []) as url, console(url) as term:
        assert "404" in term.wait_for("refused")


@contextmanager
def cutting_proxy(port: int, cuts: list[int]) -> Iterator[int]:
    """A way to the daemon on which the n-th stream breaks off after `cuts[n]` bytes; yields its port."""

    def pump(source: socket.socket, target: socket.socket, room: list[int], *, asks: bool) -> None:
        """Pass on what comes; `room` is what the answer may still take once a stream has been asked for."""
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                if asks and b"GET /stream" in data and cuts:
                    room.append(cuts.pop(0))
                if not asks and room:
                    target.sendall(data[: room[0]])
                    room[0] -= len(data)
                    if room[0] <= 0:
                        break
                else:
                    target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            room: list[int] = []
            with socket.create_connection(("127.0.0.1", port)) as daemon:
                asking = threading.Thread(target=pump, args=(self.request, daemon, room), kwargs={"asks": True})
                asking.start()
                pump(daemon, self.request, room, asks=False)
                asking.join()

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


def test_a_stream_that_breaks_off_within_an_event_loses_none(tmp_path: Path) -> None:
    cuts = [900, 1_500, 5_000]
    with start_daemon(tmp_path / "audit.db") as daemon, cutting_proxy(daemon.port, cuts) as port:
        post(daemon, 5)
        with console(f"http://127.0.0.1:{port}") as term:
            term.wait_for(r"^│ +5 ")
            for number in range(30):
                post(daemon, 1, number=number)
            term.wait_for(r"^│ +35 ", deadline_s=40)
            screen = term.wait_for("35 received")
            ids = [int(line.split()[1]) for line in screen.splitlines() if line.startswith("│")]
            assert ids == list(range(1, 36))
            assert not cuts, "the streams did not break off"


def test_without_a_terminal_it_names_the_command_for_pipes() -> None:
    done = subprocess.run(CONSOLE, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert "audit-stream tail" in done.stderr


def colours(output: bytes) -> set[tuple[bytes, ...]]:
    """The colours that were asked for and are no shade of grey."""
    rgb = re.findall(rb"[34]8;2;(\d+);(\d+);(\d+)", output)
    named = re.findall(rb"\x1b\[(?:[01];)?([349][1-6]|[34]8;5;\d+)(?:;[\d;]*)?m", output)
    return {found for found in rgb if len(set(found)) > 1} | {(name,) for name in named}


@pytest.mark.parametrize("no_color", [True, False])
def test_no_color_shows_shades_of_grey_and_severity_in_words(tmp_path: Path, no_color: bool) -> None:
    env = {"NO_COLOR": "1"} if no_color else {}
    with start_daemon(tmp_path / "audit.db") as daemon, console(daemon.url, env=env) as term:
        post(daemon, 5, kind="breaker_opened")
        term.wait_for("‼ CRIT")
        term.wait_for("VERIFIED 5")
        assert bool(colours(term.output)) is not no_color


def test_the_wheel_pauses_and_a_click_on_the_badge_opens_the_integrity_screen(tmp_path: Path) -> None:
    with start_daemon(tmp_path / "audit.db") as daemon, console(daemon.url, width=120, height=30) as term:
        post(daemon, 100)
        term.wait_for(r"^│ +100 ")
        term.wait_for("VERIFIED 100")
        term.type("\x1b[<64;10;10M")
        term.wait_for("PAUSED")
        term.type("\x1b[<0;115;30M\x1b[<0;115;30m")
        term.wait_for(lambda screen: "PAUSED" not in screen and "console" in screen)


@pytest.mark.skipif(not (shutil.which("curl") or "CI" in os.environ), reason="what is copied is a line for curl")
def test_an_event_is_copied_through_the_terminal(tmp_path: Path) -> None:
    with start_daemon(tmp_path / "audit.db") as daemon, console(daemon.url) as term:
        post(daemon, 3)
        term.wait_for(r"^│ +3 ")
        term.wait_for("VERIFIED 3 events")
        term.keys("c")
        term.wait_for(lambda _: b"\x1b]52;c;" in term.output)
        copied = json.loads(term.clipboard())
        assert copied == httpx.get(f"{daemon.url}/events/3").json()
        term.keys("C")
        term.wait_for(lambda _: term.output.count(b"\x1b]52;c;") == 2)
        done = subprocess.run(["sh", "-c", term.clipboard()], capture_output=True, check=True, timeout=30)
        assert json.loads(done.stdout) == copied


def test_the_next_start_is_as_one_left_it(tmp_path: Path) -> None:
    state = {"AUDIT_TUI_STATE": str(tmp_path / "state")}
    with start_daemon(tmp_path / "audit.db") as daemon:
        post(daemon, 10)
        post(daemon, 3, kind="request_denied")
        with console("--filter", "kind:request_denied", daemon.url, env=state) as term:
            term.wait_for("3 of 13 shown")
            term.keys("p")
            term.wait_for("Kinds 2")
            term.keys("q")
            term.exit_code()
        with console(daemon.url, env=state) as term:
            screen = term.wait_for("3 of 13 shown")
            assert "kind:request_denied" in screen.splitlines()[0]
            assert "Kinds 2" in screen


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


def test_a_filter_pasted_in_one_burst_arrives_whole(tmp_path: Path) -> None:
    with start_daemon(tmp_path / "audit.db") as daemon, console(daemon.url) as term:
        post(daemon, 20)
        post(daemon, 1, kind="request_denied")
        term.wait_for(r"^│ +21 ")
        term.type("/kind:request_denied")
        term.wait_for("kind:request_denied")
        term.keys("Enter")
        term.wait_for("1 of 21 shown")
