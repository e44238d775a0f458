"""A real, headless Chromium, driven over WebDriver's plain HTTP (W3C WebDriver, level 2).

Only what the browser tests need: open a page, run JavaScript in it, quit. A script that returns a promise is waited for
("Execute Script"), so a test waits inside the page, for the page's own condition, until
`SCRIPT_TIMEOUT_S` ends the wait.
"""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

SCRIPT_TIMEOUT_S = 45.0
"""Longer than any wait that can succeed here, shorter than the test runner's own limit, which would say less."""

STARTED = re.compile(r"started successfully on port (\d+)")

FLAGS = (
    "--headless",
    "--no-sandbox",  # the sandbox refuses to start as root, which continuous integration often is
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",  # containers give /dev/shm 64 MB, which crashes tabs
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class BrowserError(Exception):
    """The browser could not do what it was told; the message is WebDriver's, with the script's own error in it."""


def missing_programs() -> list[str]:
    """The names of the programs that a `Browser` needs and this machine lacks."""
    return [name for name, path in (("chromium", _chromium()), ("chromedriver", _chromedriver())) if path is None]


class Browser:
    """One Chromium with one tab, from entering the context to leaving it."""

    def __init__(self, profile: Path) -> None:
        """`profile` is a directory of its own, so that nothing is left of, or for, another run."""
        self._profile = profile

    def __enter__(self) -> Self:
        if missing := missing_programs():
            raise BrowserError(f"not installed: {', '.join(missing)}")
        self._log = (self._profile.parent / f"{self._profile.name}.log").open("wb")
        # Chromium leaves directories when it is killed. Not pytest's: the path of its socket may have 107 characters.
        self._scratch = tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True)
        # A process group of its own, so that leaving ends the browser's processes too when the driver has lost them.
        self._driver = subprocess.Popen(
            [_chromedriver() or "chromedriver", "--port=0", "--log-level=WARNING"],
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            start_new_session=True,
            env={**os.environ, "TMPDIR": self._scratch.name},
        )
        try:
            # The timeout is for WebDriver's answer, which for a script comes when the script has ended.
            self._http = httpx.Client(
                base_url=f"http://127.0.0.1:{self._port()}", timeout=SCRIPT_TIMEOUT_S + 15, trust_env=False
            )
            self._session = f"/session/{self._command('/session', {'capabilities': self._capabilities()})['sessionId']}"
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._http.delete(self._session)
        finally:
            self._http.close()
            self._kill()

    def open(self, url: str) -> None:
        """Leave the present page, which closes its connections, and load `url`."""
        self._command(f"{self._session}/url", {"url": url})

    def run(self, script: str, *args: object) -> Any:
        """What the body of an async JavaScript function returned, called with `args` (as `args`) in the open page."""
        body = f"const args = [...arguments]; return (async () => {{ {script} }})();"
        return self._command(f"{self._session}/execute/sync", {"script": body, "args": args})

    def _command(self, path: str, body: dict[str, object]) -> Any:
        answer = self._http.post(path, json=body)
        value = answer.json()["value"]
        if answer.is_error:
            raise BrowserError(f"{value['error']}: {value['message']}")
        return value

    def _capabilities(self) -> dict[str, object]:
        options = {"binary": _chromium(), "args": [*FLAGS, f"--user-data-dir={self._profile}"]}
        timeouts = {"script": int(SCRIPT_TIMEOUT_S * 1000)}
        return {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options, "timeouts": timeouts}}

    def _port(self) -> int:
        """The port that the driver chose, read from what it prints once it listens."""
        assert self._driver.stdout is not None
        for line in self._driver.stdout:
            if found := STARTED.search(line):
                return int(found[1])
        raise BrowserError(f"chromedriver ended with {self._driver.wait()} before it listened")

    def _kill(self) -> None:
        """End whatever of the driver's process group is still running."""
        with suppress(ProcessLookupError):  # all have ended by themselves
            os.killpg(self._driver.pid, signal.SIGKILL)
        self._driver.wait()
        assert self._driver.stdout is not None
        self._driver.stdout.close()
        self._log.close()
        self._scratch.cleanup()


def _chromium() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def _chromedriver() -> str | None:
    beside = os.environ.get("CHROMEWEBDRIVER")  # where hosted runners keep the driver that fits their Chrome
    return shutil.which("chromedriver", path=beside) if beside else shutil.which("chromedriver")
