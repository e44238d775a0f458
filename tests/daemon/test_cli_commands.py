"""The commands beside a real daemon."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from audit_stream.canonical import hash_of
from tests.daemon.command_line import DEADLINE_S, Outcome, call, call_process, environment, spawn_command
from tests.daemon_process import DaemonProcess, start_daemon

NOBODY = "http://127.0.0.1:9"  # the discard port: nothing listens there


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    with start_daemon(tmp_path_factory.mktemp("daemon") / "audit.db") as running:
        events = [
            {"kind": "request_allowed", "source": "policy-as-code-engine", "payload": {"n": number}}
            for number in range(1, 6)
        ]
        events.append({"kind": "request_denied", "source": "policy-as-code-engine", "payload": {"text": "\x1b[31m"}})
        events.append({"kind": "other", "source": "archive", "timestamp": "2020-01-01T00:00:00Z"})
        httpx.post(f"{running.url}/events/batch", json=events).raise_for_status()
        yield running


@pytest.fixture
def empty_daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    with start_daemon(tmp_path / "audit.db") as running:
        yield running


def ids(outcome: Outcome) -> list[int]:
    assert outcome.code == 0, outcome.err
    return [json.loads(line)["event_id"] for line in outcome.out.splitlines()]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ((), [1, 2, 3, 4, 5, 6, 7]),
        (("--limit", "2"), [6, 7]),
        (("--limit", "2", "--order", "desc"), [7, 6]),
        (("--kind", "request_denied", "--kind", "other"), [6, 7]),
        (("--source", "archive", "--kind", "request_denied"), []),
        (("payload.n:>3",), [4, 5]),
        (("kind:request_*", "-payload.n:*"), [6]),
        (("--since", "2h"), [1, 2, 3, 4, 5, 6]),
        (("--until", "2021-01-01T00:00:00Z"), [7]),
        (("--since", "2019-12-31T23:00:00-01:00", "--until", "7d"), [7]),
    ],
)
def test_a_query_finds_what_its_options_say(
    daemon: DaemonProcess, arguments: tuple[str, ...], found: list[int]
) -> None:
    assert ids(call("query", "--url", daemon.url, "--json", *arguments)) == found


def test_a_query_for_programs_prints_the_events_as_they_are_served(daemon: DaemonProcess) -> None:
    served = httpx.get(f"{daemon.url}/events", headers={"Accept": "application/x-ndjson"}).text
    assert call("query", "--url", daemon.url, "--json").out == served


def test_a_query_for_people_escapes_what_would_steer_the_terminal(daemon: DaemonProcess) -> None:
    out = call("query", "--url", daemon.url, "kind:request_denied").out
    assert r'WARNING request_denied policy-as-code-engine text="\u001b[31m"' in out
    assert "\x1b" not in out


def test_a_query_beyond_a_page_is_complete(empty_daemon: DaemonProcess) -> None:
    event = json.dumps({"kind": "other", "source": "test"})
    for _ in range(2):
        lines = "\n".join([event] * 10_000)
        headers = {"Content-Type": "application/x-ndjson"}
        httpx.post(f"{empty_daemon.url}/events/batch", content=lines, headers=headers).raise_for_status()
    newest_first = call("query", "--url", empty_daemon.url, "--json", "--order", "desc", "--limit", "15000")
    assert ids(newest_first) == list(range(20_000, 5_000, -1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["kind:other", "sevrity:>=warning"], "sevrity:>=warning: 'sevrity' is no field: did you mean severity? "),
        (["--since", "yesterday"], "--since yesterday: "),
        (["kind:other", "--since", "1h", "--until", "1 h"], "--until 1 h: "),
        (["kind:"], "kind:: "),
        (["--kind", "other", "--kind", "request_deneid"], "--kind request_deneid: not a known kind: did you mean "),
        (["--kind", "zzz"], "--kind zzz: not a known kind: GET /schema lists them"),
    ],
)
@pytest.mark.parametrize("command", ["query", "export"])
def test_a_mistake_in_a_filter_is_explained_by_what_was_typed(
    daemon: DaemonProcess, command: str, arguments: list[str], message: str
) -> None:
    outcome = call(command, "--url", daemon.url, *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"audit-stream: {message}")


def test_a_mistake_in_the_filter_of_a_file_is_explained_as_the_daemon_does(daemon: DaemonProcess) -> None:
    mistaken = ["kind:other", "foo:bar", "--since", "1h"]
    from_file = call("export", "--db", daemon.log[-1]["database"], *mistaken)
    assert from_file == call("export", "--url", daemon.url, *mistaken)
    assert from_file.err.startswith("audit-stream: foo:bar: 'foo' is no field: ")


def test_an_address_with_a_path_too_many_is_named_as_the_mistake(daemon: DaemonProcess) -> None:
    for command in ("stats", "query", "tail", "verify"):
        outcome = call(command, "--url", f"{daemon.url}/stats")
        assert outcome.code == 2
        assert outcome.err.endswith(": give the daemon's address without a path\n")


def test_the_address_comes_from_the_environment_as_producers_have_it(daemon: DaemonProcess) -> None:
    outcome = call_process("stats", "--json", env=environment(AUDIT_STREAM_URL=f"{daemon.url}/events"))
    assert json.loads(outcome.out)["count"] == 7


def test_stats_are_a_table(daemon: DaemonProcess) -> None:
    out = call("stats", "--url", daemon.url).out
    head = httpx.get(f"{daemon.url}/stats").json()["latest_hash"]
    assert f"head         #7 {head}\n" in out
    assert "  5  request_allowed (info)\n  1  request_denied (warning)\n" in out
    assert "  6  policy-as-code-engine\n" in out


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [(["stats"], "request_allowed (critical)"), (["query", "--limit", "5"], "CRITICAL request_allowed")],
)
def test_the_severity_of_an_operators_kinds_is_shown(daemon: DaemonProcess, arguments: list[str], shown: str) -> None:
    env = environment(AUDIT_STREAM_EXTRA_KINDS="request_allowed:critical")
    assert shown in call_process(*arguments, "--url", daemon.url, env=env).out


def test_settings_of_another_daemon_do_not_keep_a_command_from_reading(daemon: DaemonProcess) -> None:
    env = environment(AUDIT_STREAM_EXTRA_KINDS="No Kind", PORT="x")
    assert "request_allowed (info)" in call_process("stats", "--url", daemon.url, env=env).out


@pytest.mark.parametrize("command", ["verify", "export"])
def test_a_file_and_a_daemon_at_once_are_a_mistake(command: str) -> None:
    outcome = call(command, "--db", "audit.db", "--url", NOBODY)
    assert outcome == (2, "", "audit-stream: give --db to read a file or --url to ask a daemon, not both\n")


def test_an_export_takes_the_address_from_the_environment_unless_a_file_is_given(daemon: DaemonProcess) -> None:
    from_daemon = call_process("export", env=environment(AUDIT_STREAM_URL=f"{daemon.url}/events"))
    from_file = call_process("export", "--db", daemon.log[-1]["database"], env=environment(AUDIT_STREAM_URL=NOBODY))
    assert json.loads(from_daemon.out) == httpx.get(f"{daemon.url}/events").json()
    assert from_file == from_daemon


@pytest.mark.parametrize("command", [["stats"], ["query"], ["tail"], ["verify"], ["export"]])
def test_a_daemon_that_is_not_there_is_one_line_and_exit_code_2(command: list[str]) -> None:
    outcome = call(*command, "--url", NOBODY)
    assert outcome == (
        2,
        "",
        f"audit-stream: no daemon answers at {NOBODY}: start one with `audit-stream` (connection refused)\n",
    )


def test_a_filter_that_the_daemon_refuses_ends_the_tail(daemon: DaemonProcess) -> None:
    outcome = call("tail", "--url", daemon.url, "severity:loud")
    assert outcome.code == 2
    assert "severity" in outcome.err


def test_an_event_is_emitted_from_its_arguments(empty_daemon: DaemonProcess) -> None:
    event = ["request_denied", "policy-as-code-engine", "rule=dpa=required", "attempts:=3", "big:=18446744073709551617"]
    options = ["--payload", '{"rule": "overridden", "kept": [1]}', "--timestamp", "2026-05-15T03:14:15Z"]
    outcome = call("emit", "--url", empty_daemon.url, *event, *options)
    stored = httpx.get(f"{empty_daemon.url}/events/1").json()
    assert outcome == (0, f"#1 stored, hash {stored['hash']}\n", "")
    assert stored["timestamp"] == "2026-05-15T03:14:15Z"
    assert stored["payload"] == {
        "rule": "dpa=required",
        "kept": [1],
        "attempts": 3,
        "big": 18446744073709551617,
    }


def test_the_same_key_emits_an_event_once(empty_daemon: DaemonProcess) -> None:
    arguments = ["emit", "--url", empty_daemon.url, "other", "test", "--idempotency-key", "once"]
    assert call(*arguments).out.startswith("#1 stored")
    assert call(*arguments).out.startswith("#1 already stored")
    assert httpx.get(f"{empty_daemon.url}/stats").json()["count"] == 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["no_such_kind", "test"], 1, "kind: 'no_such_kind' is not a known kind"),
        (["other", "test", "--timestamp", "today"], 1, "timestamp: use an RFC 3339 instant"),
        (["other"], 2, "give KIND and SOURCE"),
        (["other", "test", "word"], 2, "word: write a field of the payload as key=text"),
        (["other", "test", "n:=x"], 2, "n:=x: no valid JSON"),
        (["other", "test", "--payload", "[]"], 2, "--payload: use a JSON object"),
        (["other", "test", "--idempotency-key", "ü"], 2, "Idempotency-Key: use 1 to 255"),
        (["--jsn", "other", "test"], 2, "unknown option --jsn: did you mean --json?"),
        (["-", "test"], 2, "with standard input"),
    ],
)
def test_an_event_that_cannot_be_stored_says_why(
    daemon: DaemonProcess, arguments: list[str], code: int, message: str
) -> None:
    outcome = call("emit", "--url", daemon.url, *arguments)
    assert (outcome.code, outcome.out) == (code, "")
    assert outcome.err.startswith(f"audit-stream: {message}")


def test_standard_input_is_emitted_in_chunks_that_are_stored_whole_or_not_at_all(empty_daemon: DaemonProcess) -> None:
    lines = [json.dumps({"kind": "other", "source": "test", "payload": {"n": n}}) for n in range(1, 2501)]
    lines[1] = ""  # blank lines count as lines and are no events
    lines[2200] = json.dumps({"kind": "other", "source": ""})
    stdin = "\n".join(lines).encode()
    arguments = ["emit", "--url", empty_daemon.url, "-", "--idempotency-key", "night"]

    outcome = call_process(*arguments, stdin=stdin)

    assert outcome.code == 1
    assert outcome.out.splitlines()[0].startswith("#1 to #1000 stored, hash ")
    assert outcome.err == (
        "audit-stream: line 2201: source: is empty: name the service that decided; "
        "nothing of lines 2002 to 2500 was stored\n"
    )
    assert httpx.get(f"{empty_daemon.url}/stats").json()["count"] == 2000

    lines[2200] = json.dumps({"kind": "other", "source": "mended"})
    again = call_process(*arguments, stdin="\n".join(lines).encode())

    assert again.code == 0
    assert [line.partition(",")[0] for line in again.out.splitlines()] == [
        "#1 to #1000 already stored",
        "#1001 to #2000 already stored",
        "#2001 to #2499 stored",
    ]


def test_what_has_come_from_a_pipe_is_emitted_at_once(empty_daemon: DaemonProcess) -> None:
    with spawn_command("emit", "--url", empty_daemon.url, "--stdin", "--json") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b'{"kind":"other","source":"test"}\n')
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["last_event_id"] == 1
        process.communicate(b'{"kind":"other","source":"test"}')
        assert process.returncode == 0
    assert httpx.get(f"{empty_daemon.url}/stats").json()["count"] == 2


def test_an_export_is_the_same_from_the_daemon_and_from_its_file(daemon: DaemonProcess, tmp_path: Path) -> None:
    database = daemon.log[-1]["database"]
    served = httpx.get(f"{daemon.url}/events").json()
    from_daemon = call("export", "--url", daemon.url, "--output", str(tmp_path / "chain.json"))
    from_file = call("export", "--db", database)
    assert (tmp_path / "chain.json").read_text() == from_file.out
    assert json.loads(from_file.out) == served
    assert from_daemon.err == f"audit-stream: 7 events in {tmp_path / 'chain.json'}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["chain.json"]


@pytest.mark.parametrize("origin", ["--url", "--db"])
def test_an_export_can_be_filtered(daemon: DaemonProcess, origin: str) -> None:
    address = daemon.url if origin == "--url" else daemon.log[-1]["database"]
    filters = ["--kind", "request_allowed", "--since", "1h", "payload.n:>2", "-payload.n:5"]
    outcome = call("export", origin, address, "--format", "ndjson", *filters)
    assert ids(outcome) == [3, 4]


@pytest.mark.parametrize("origin", ["--url", "--db"])
def test_an_export_of_nothing_is_an_empty_array(daemon: DaemonProcess, origin: str) -> None:
    address = daemon.url if origin == "--url" else daemon.log[-1]["database"]
    assert call("export", origin, address, "--source", "nobody") == (0, "[]\n", "")


@pytest.mark.parametrize(
    ("name", "options", "start"),
    [
        ("chain.ndjson", [], '{"event_id":1,'),
        ("chain.JSONL", [], '{"event_id":1,'),
        ("chain.json", [], "[{"),
        ("chain", [], "[{"),
        ("chain.ndjson", ["--format", "json"], "[{"),
        ("chain.json", ["--format", "ndjson"], '{"event_id":1,'),
    ],
)
def test_a_files_name_says_its_format_unless_an_option_does(
    daemon: DaemonProcess, tmp_path: Path, name: str, options: list[str], start: str
) -> None:
    assert call("export", "--url", daemon.url, "--output", str(tmp_path / name), *options).code == 0
    assert (tmp_path / name).read_text().startswith(start)


def test_an_export_that_fails_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    (tmp_path / "chain.json").write_text("before")
    assert call("export", "--url", NOBODY, "--output", str(tmp_path / "chain.json")).code == 2
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]


def test_an_intact_chain_is_verified_with_and_without_its_daemon(daemon: DaemonProcess) -> None:
    head = httpx.get(f"{daemon.url}/stats").json()["latest_hash"]
    path = daemon.log[-1]["database"]
    assert call("verify", "--db", path) == (0, f"intact: 7 events in {path}, head #7 {head}\n", "")
    assert call("verify", "--url", f"{daemon.url}/") == (0, f"intact: 7 events at {daemon.url}, head #7 {head}\n", "")


def test_a_file_in_the_home_directory_is_named_as_people_write_it(daemon: DaemonProcess) -> None:
    path = Path(daemon.log[-1]["database"])
    outcome = call_process("verify", "--db", str(path), env=environment(HOME=str(path.parent)))
    assert outcome.out.startswith(f"intact: 7 events in ~/{path.name}, head #7 ")


def test_verify_says_that_it_does_not_ask_the_daemon_of_the_environment(daemon: DaemonProcess) -> None:
    env = environment(AUDIT_STREAM_DB_PATH=daemon.log[-1]["database"], AUDIT_STREAM_URL=NOBODY)
    outcome = call_process("verify", env=env)
    assert outcome.code == 0
    assert outcome.err == (
        "audit-stream: this reads the file of the settings, not the daemon of AUDIT_STREAM_URL: "
        "give --url to ask that one\n"
    )
    assert call_process("verify", "--url", daemon.url, env=env).err == ""


def test_a_rewritten_log_is_not_said_to_hold_before_the_break(tmp_path: Path) -> None:
    with start_daemon(tmp_path / "audit.db", "--verify-interval-s", "0") as daemon:
        for number in range(2):
            httpx.post(f"{daemon.url}/events", json={"kind": "other", "source": "test", "payload": {"n": number}})
        with contextlib.closing(sqlite3.connect(tmp_path / "audit.db")) as connection, connection:
            rewrite_last_event(connection)
        outcome = call("verify", "--url", daemon.url)
    reason = "hash mismatch at event #2: the log was rewritten at or before it"
    assert outcome == (1, f"BROKEN at #2 at {daemon.url}: {reason}\n", "")


def rewrite_last_event(connection: sqlite3.Connection) -> None:
    """Edit it and make all that speaks of it fit: what only somebody finds who has seen the log before."""
    event_id, canonical = connection.execute(
        "SELECT event_id, canonical FROM events ORDER BY event_id DESC LIMIT 1"
    ).fetchone()
    edited = canonical.replace(b":1}", b":7}")
    new_hash = hash_of(edited)
    connection.execute("UPDATE events SET canonical = ?, hash = ? WHERE event_id = ?", (edited, new_hash, event_id))
    connection.execute("UPDATE head SET hash = ?", (new_hash,))


def test_a_broken_chain_is_a_finding(empty_daemon: DaemonProcess) -> None:
    for number in range(3):
        httpx.post(f"{empty_daemon.url}/events", json={"kind": "other", "source": "test", "payload": {"n": number}})
    empty_daemon.stop()
    path = empty_daemon.log[-1]["database"]
    assert call("verify", "--db", path).code == 0
    with sqlite3.connect(path) as connection:
        connection.execute(
            "UPDATE events SET canonical = CAST(replace(canonical, ':1}', ':7}') AS BLOB) WHERE event_id = 2"
        )
    connection.close()
    outcome = call("verify", "--db", path)
    assert outcome == (1, f"BROKEN at #2 in {path}: hash mismatch at event #2 (the event before it holds)\n", "")
    report = call("verify", "--db", path, "--json")
    assert report.code == 1
    assert json.loads(report.out)["first_break_at"] == 2


def test_what_cannot_be_checked_says_nothing_about_the_chain(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database, but long enough to be one" * 100)
    missing = call("verify", "--db", str(tmp_path / "missing.db"))
    text = call("verify", "--db", str(tmp_path / "text.db"), "--json")
    assert (missing.code, text.code, missing.out, text.out) == (2, 2, "", "")
    assert "does not exist" in missing.err
    assert "not a database" in text.err


def test_the_file_to_verify_is_by_default_the_daemons(daemon: DaemonProcess) -> None:
    env = environment(AUDIT_STREAM_DB_PATH=daemon.log[-1]["database"])
    assert call_process("verify", env=env).out.startswith(f"intact: 7 events in {daemon.log[-1]['database']}, ")


def shown_on_a_terminal(*arguments: str, columns: int = 80, until: bytes | None = None) -> bytes:
    """What a command prints on a terminal, at its end or, after Ctrl-C, when it has printed `until`."""
    terminal, inner = pty.openpty()
    termios.tcsetwinsize(inner, (24, columns))
    env = environment(TERM="xterm")
    env.pop("COLUMNS", None)
    command = [sys.executable, "-m", "audit_daemon", *arguments]
    with subprocess.Popen(command, env=env, stdout=inner, stderr=inner) as process:
        os.close(inner)
        shown = b""
        with contextlib.suppress(OSError):  # how the end of a pseudoterminal is told
            while data := os.read(terminal, 65_536):
                shown += data
                if until is not None and until in shown:
                    process.send_signal(signal.SIGINT)
                    until = None
    os.close(terminal)
    assert process.returncode in (0, 130)
    return shown


def test_a_tail_on_a_terminal_says_at_once_whom_it_follows(daemon: DaemonProcess) -> None:
    shown = shown_on_a_terminal("tail", "--url", daemon.url, until=b"Ctrl-C ends it")
    assert f"following {daemon.url} after event #7; Ctrl-C ends it".encode() in shown


def test_a_line_is_cut_to_the_width_of_a_terminal(daemon: DaemonProcess) -> None:
    shown = shown_on_a_terminal("query", "--url", daemon.url, "kind:request_denied", columns=40).decode()
    (line,) = re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()
    assert len(line) == 40
    assert line.endswith("…")


def test_a_query_that_finds_nothing_says_so(daemon: DaemonProcess) -> None:
    outcome = call("query", "--url", daemon.url, "--source", "nobody")
    assert outcome == (0, "", "audit-stream: no event matches\n")


def test_a_terminal_gets_a_progress_bar_and_colours(daemon: DaemonProcess) -> None:
    shown = shown_on_a_terminal("verify", "--db", daemon.log[-1]["database"])
    assert b"verifying" in shown
    assert b"7/7" in shown
    assert b"\x1b[32mintact\x1b[0m: 7 events" in shown


def test_an_argument_that_is_no_text_is_one_line(daemon: DaemonProcess) -> None:
    assert call("query", "--url", daemon.url, "\udcff") == (2, "", "audit-stream: an argument is not valid UTF-8\n")


def test_standard_input_waits_for_a_daemon_that_is_restarted(tmp_path: Path) -> None:
    with start_daemon(tmp_path / "audit.db") as daemon, spawn_command("emit", "--url", daemon.url, "-") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b'{"kind":"other","source":"test"}\n')
        process.stdin.flush()
        assert process.stdout.readline().startswith(b"#1 to #1 stored")
        daemon.kill()
        process.stdin.write(b'{"kind":"other","source":"test"}\n')
        process.stdin.flush()
        with start_daemon(tmp_path / "audit.db", "--port", str(daemon.port)) as again:
            assert process.stdout.readline().startswith(b"#2 to #2 stored")
            process.send_signal(signal.SIGINT)  # it waits for its standard input
            assert process.wait(DEADLINE_S) == 130
            assert process.stderr is not None
            assert process.stderr.read() == b""
            assert httpx.get(f"{again.url}/stats").json()["count"] == 2
