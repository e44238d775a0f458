"""What `audit-tui` says before it takes the screen, on a terminal of its own."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from audit_stream.errors import ClientError

PROFILES = """
[profiles.prod]
url = "http://10.20.0.5:8093"

[profiles.staging]
url = "http://10.20.0.6:8093"
"""


class Ended:
    """The command run to its end, which comes by itself: nothing types `q`."""

    def __init__(self, directory: Path, *arguments: str, settings: str = "", **environment: str) -> None:
        config = directory / "tui.toml"
        config.write_text(settings)
        ours = {"AUDIT_TUI_CONFIG": str(config), "AUDIT_TUI_STATE": str(directory / "state"), "TERM": "xterm"}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AUDIT_")}
        keyboard, screen = pty.openpty()
        try:
            done = subprocess.run(
                [sys.executable, "-m", "audit_tui", *arguments],
                env={**inherited, **ours, **environment},
                stdin=screen,
                stdout=screen,
                stderr=subprocess.PIPE,
                timeout=30,
                check=False,
            )
        finally:
            os.close(screen)
            os.set_blocking(keyboard, False)
            try:
                self.shown = os.read(keyboard, 100_000).decode()
            except OSError:  # nothing was written before the last end was closed
                self.shown = ""
            os.close(keyboard)
        self.code = done.returncode
        self.said = done.stderr.decode()


def test_a_mistake_in_the_filter_is_told_before_the_screen_is_taken(tmp_path: Path) -> None:
    ended = Ended(tmp_path, "--filter", "sevr:x")
    assert ended.code == 2
    assert "sevr:x" in ended.said
    assert "(position 0)" in ended.said
    assert "\x1b" not in ended.shown


def test_a_control_character_in_the_filter_does_not_reach_the_terminal(tmp_path: Path) -> None:
    ended = Ended(tmp_path, "--filter", "sevr:\x1b[2J\u202e")
    assert ended.code == 2
    assert "\x1b" not in ended.said
    assert "\u202e" not in ended.said


def test_the_parser_of_filters_is_not_loaded_without_a_filter() -> None:
    look = "import sys; from audit_tui.cli.app import main; main([]); sys.exit('lark' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", look], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert b"this is no terminal" in done.stderr
    assert done.returncode == 0


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_check_tells_its_usage(tmp_path: Path, flag: str) -> None:
    ended = Ended(tmp_path, "check", flag)
    assert ended.code == 0
    assert "usage: audit-tui check" in ended.shown
    assert ended.said == ""


@pytest.mark.parametrize("files", [(), ("one.json", "two.json")])
def test_check_takes_one_file(tmp_path: Path, files: tuple[str, ...]) -> None:
    ended = Ended(tmp_path, "check", *files)
    assert ended.code == 2
    assert "usage: audit-tui check" in ended.said


def test_a_word_that_is_no_profile_is_told_with_those_that_there_are(tmp_path: Path) -> None:
    ended = Ended(tmp_path, "nosuch", settings=PROFILES)
    assert ended.code == 2
    assert "there is no profile 'nosuch': the profiles are prod, staging;" in ended.said
    assert "http://127.0.0.1:8093" in ended.said
    assert "\x1b" not in ended.shown


def test_a_word_in_the_environment_that_is_no_profile_is_told_with_the_name_of_the_variable(tmp_path: Path) -> None:
    ended = Ended(tmp_path, AUDIT_STREAM_URL="nosuch")
    assert ended.code == 2
    assert "AUDIT_STREAM_URL: there is no profile 'nosuch': the profiles are none" in ended.said


def test_authorities_that_cannot_be_read_are_told_before_the_screen_is_taken(tmp_path: Path) -> None:
    ended = Ended(tmp_path, "https://127.0.0.1:1", SSL_CERT_FILE=str(tmp_path / "none.pem"))
    assert ended.code == 2
    assert ended.said.startswith("audit-tui: SSL_CERT_FILE: no certificates can be read from ")
    assert "\x1b" not in ended.shown


@pytest.mark.parametrize("address", ["localhost", "LOCALHOST", "audit:8093", "10.0.0.5", "http://audit", "[::1]:8093"])
def test_an_address_is_not_taken_for_the_name_of_a_profile(address: str) -> None:
    from audit_tui.cli.app import _is_bare

    assert not _is_bare(address)


# A file where an address belongs, and the other way round

EXPORT = b'{"event_id":1}\n'
DATABASE = b"SQLite format 3\x00" + bytes(100)
BUNDLE = b'{\n "format": "audit-stream-bundle/1"\n}\n'


def refusal(directory: Path, *arguments: str) -> str:
    """What is said of these arguments."""
    from audit_tui.cli.app import _opening, _parser
    from audit_tui.storage.config import Config
    from audit_tui.user_data import UserData

    with pytest.raises(ClientError) as raised:
        _opening(_parser().parse_args(arguments), UserData(Config(), directory))
    return str(raised.value)


@pytest.mark.parametrize(
    ("name", "content", "advice"),
    [
        ("audit.db", DATABASE, "--db audit.db"),
        ("./audit.db", DATABASE, "--db ./audit.db"),
        ("export.json", EXPORT, "--file export.json"),
        ("./export.json", EXPORT, "--file ./export.json"),
        ("log.ndjson", b"[" + EXPORT + b"]", "--file log.ndjson"),
        ("what ever", DATABASE, "--db 'what ever'"),
        ("noending", DATABASE, "--db noending"),
        ("10.20.0.5", DATABASE, "--db 10.20.0.5"),
        ("evidence.json", BUNDLE, "check evidence.json"),
        ("empty.db", b"", "--db empty.db"),
    ],
)
def test_a_file_where_an_address_belongs_is_told_with_how_to_open_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes, advice: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(content)
    assert f"`audit-tui {advice}`" in refusal(tmp_path, name)
    monkeypatch.setenv("AUDIT_STREAM_URL", name)
    assert refusal(tmp_path).startswith("AUDIT_STREAM_URL: ")
    assert f"`audit-tui {advice}`" in refusal(tmp_path)


@pytest.mark.parametrize(
    "name",
    ["audit.db", "/no/such/audit.db", "/no/such", "./x", "a.jsonl", "~/log.ndjson", "A.DB", "a.jsonl.gz", "a.db.bak"],
)
def test_the_name_of_a_file_that_is_not_there_is_not_taken_for_a_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert f"{name} is no address, and there is no such file" in refusal(tmp_path, name)


def test_a_file_where_an_address_belongs_is_told_before_the_screen_is_taken(tmp_path: Path) -> None:
    ended = Ended(tmp_path, str(tmp_path / "audit.db"))
    assert (ended.code, ended.shown) == (2, "")
    assert "audit.db is no address, and there is no such file" in ended.said


@pytest.mark.parametrize(
    "address", ["localhost", "audit:8093", "10.0.0.5", "audit.example", "http://x.db", "h.db:80", "db.log.zip"]
)
def test_an_address_is_not_taken_for_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    from audit_tui.offline.recognise import said_of_file

    monkeypatch.chdir(tmp_path)
    assert said_of_file(address) is None


def test_a_profile_is_a_profile_also_when_there_is_a_file_of_its_name(tmp_path: Path) -> None:
    from audit_tui.cli.app import _opening, _parser
    from audit_tui.storage.config import Config, Profile
    from audit_tui.user_data import UserData

    name = str(tmp_path / "prod")
    Path(name).write_bytes(DATABASE)
    user_data = UserData(Config(profiles={name: Profile(url="http://10.20.0.5:8093")}), tmp_path)
    assert _opening(_parser().parse_args([name]), user_data).url == "http://10.20.0.5:8093"


@pytest.mark.parametrize(
    ("option", "name", "content", "said"),
    [
        ("--db", "http://10.20.0.5:8093", None, "'http://10.20.0.5:8093' is an address: leave --db out"),
        ("--file", "https://10.20.0.5", None, "'https://10.20.0.5' is an address: leave --file out"),
        ("--db", "export.jsonl", EXPORT, "is an export: open it with `audit-tui --file export.jsonl`"),
        ("--file", "audit.db", DATABASE, "is a database file: open it with `audit-tui --db audit.db`"),
        ("--file", "e.json", BUNDLE, "is an evidence bundle: `audit-tui check e.json` checks it"),
    ],
)
def test_what_is_given_to_the_wrong_option_is_told_with_the_right_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, name: str, content: bytes | None, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert said in refusal(tmp_path, option, name)


def test_a_database_that_is_not_there_is_told_and_nothing_is_made(tmp_path: Path) -> None:
    ended = Ended(tmp_path, "--db", str(tmp_path / "typo" / "dir" / "a.db"))
    assert (ended.code, ended.shown) == (2, "")
    assert "typo/dir/a.db does not exist" in ended.said
    assert not (tmp_path / "typo").exists()
