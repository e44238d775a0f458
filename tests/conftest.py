"""For all tests."""

from __future__ import annotations

import signal

import pytest

# What runs in the background of a shell, or under nohup, has these ignored, and would hand that down to every daemon,
# command and console that a test starts and then sends the signal.
for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, usual)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on asyncio, as the daemon and the console do."""
    return "asyncio"
