"""One daemon for all tests that leave the log as it was or only add to it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.daemon_process import DaemonProcess, start_daemon


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    with start_daemon(tmp_path_factory.mktemp("daemon") / "audit.db") as running:
        yield running


@pytest.fixture(scope="session")
def client(daemon: DaemonProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=daemon.url, timeout=20) as opened:
        yield opened
