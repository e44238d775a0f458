"""What `audit-tui` says before it takes the screen, on a terminal of its own."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

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
    look = "import sys; from audit_tui.cli import main; main([]); sys.exit('lark' in sys.modules)"
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
    from audit_tui.cli import _is_bare

    assert not _is_bare(address)
