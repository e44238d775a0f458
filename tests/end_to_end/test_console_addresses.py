"""Which daemon the console opens, in a real terminal: by its address, the environment, or the settings' profiles."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.daemon_process import DaemonProcess, start_daemon
from tests.terminal import MISSING_TMUX, Terminal, has_tmux, terminal

pytestmark = pytest.mark.skipif(not has_tmux(), reason=MISSING_TMUX)

NOBODY = "http://127.0.0.1:1"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    """A daemon that holds one event."""
    with start_daemon(tmp_path / "audit.db") as found:
        body = {"kind": "other", "source": "the-one-that-is-wanted", "payload": {}}
        httpx.post(f"{found.url}/events", json=body).raise_for_status()
        yield found


@contextmanager
def console(directory: Path, *arguments: str, settings: str = "", url: str | None = None) -> Iterator[Terminal]:
    """The console with these settings; `url` is AUDIT_STREAM_URL."""
    config = directory / "tui.toml"
    config.write_text(settings)
    env = {"AUDIT_TUI_CONFIG": str(config)} | ({} if url is None else {"AUDIT_STREAM_URL": url})
    with terminal((sys.executable, "-m", "audit_tui", *arguments), env=env) as found:
        yield found


def profiles(*, default: str | None = None, **urls: str) -> str:
    tables = [f'[profiles.{name}]\nurl = "{url}"\n' for name, url in urls.items()]
    return "\n".join([*([] if default is None else [f'default_profile = "{default}"']), *tables])


def assert_open(term: Terminal, daemon: DaemonProcess) -> None:
    """The console shows the daemon's event, and names it in the status."""
    term.wait_for(r"^│ +1 .*the-one-that-is-wanted")
    term.wait_for(rf"^ 127\.0\.0\.1:{daemon.port} ● live")


def test_without_an_address_it_opens_the_daemon_that_the_environment_names(
    tmp_path: Path, daemon: DaemonProcess
) -> None:
    with console(tmp_path, url=daemon.url) as term:
        assert_open(term, daemon)


def test_the_address_that_producers_have_in_the_environment_is_fine(tmp_path: Path, daemon: DaemonProcess) -> None:
    with console(tmp_path, url=f"{daemon.url}/events") as term:
        assert_open(term, daemon)


def test_an_address_that_is_given_goes_before_the_environment_and_the_settings(
    tmp_path: Path, daemon: DaemonProcess
) -> None:
    settings = profiles(default="prod", prod=NOBODY)
    with console(tmp_path, daemon.url, settings=settings, url=NOBODY) as term:
        assert_open(term, daemon)


def test_the_name_of_a_profile_opens_its_address(tmp_path: Path, daemon: DaemonProcess) -> None:
    settings = profiles(default="prod", prod=NOBODY, staging=daemon.url)
    with console(tmp_path, "staging", settings=settings) as term:
        assert_open(term, daemon)


def test_without_an_address_it_opens_the_default_profile(tmp_path: Path, daemon: DaemonProcess) -> None:
    settings = profiles(default="staging", prod=NOBODY, staging=daemon.url)
    with console(tmp_path, settings=settings) as term:
        assert_open(term, daemon)


def test_the_environment_goes_before_the_default_profile_and_may_name_one(
    tmp_path: Path, daemon: DaemonProcess
) -> None:
    settings = profiles(default="prod", prod=NOBODY, staging=daemon.url)
    with console(tmp_path, settings=settings, url="staging") as term:
        assert_open(term, daemon)


def test_another_profile_is_switched_to_by_its_name(tmp_path: Path, daemon: DaemonProcess) -> None:
    settings = profiles(default="prod", prod=NOBODY, staging=daemon.url)
    with console(tmp_path, settings=settings) as term:
        term.wait_for("retrying")
        term.keys("d")
        term.wait_for(rf"staging .*127\.0\.0\.1:{daemon.port}")
        term.type("staging")
        term.keys("Enter")
        assert_open(term, daemon)
