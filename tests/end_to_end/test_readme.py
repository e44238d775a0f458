"""README's commands, as a newcomer types them one after the other into a shell."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.command_line import environment
from tests.daemon_process import DEADLINE_S, DaemonProcess, wait_until_listening

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```console\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
NEEDED = ("bash", "curl", "jq", "sha256sum")

STARTS = re.compile(r"((?:[A-Z_]+=\S+ )*)audit-stream")
"""The daemon, with the settings before it."""

ELSEWHERE = ("make ", "python3 -m venv", ". .venv/", "audit-tui")
"""What other tests run: the demo's, the wheel's, the console's."""

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="README's paths are those of Linux"),
    pytest.mark.skipif(any(shutil.which(each) is None for each in NEEDED), reason=f"needs {', '.join(NEEDED)}"),
]


def commands(block: str) -> Iterator[tuple[str, str]]:
    """Each command after a prompt, without its comment, and the output that README shows for it."""
    for text in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        lines = text.rstrip("\n").split("\n")
        count = 1
        while lines[count - 1].endswith(("\\", "|")):
            count += 1
        yield re.sub(r" +# .*$", "", "\n".join(lines[:count])), "\n".join(lines[count:]).strip()


def pattern(shown: str) -> str:
    """What the output must be like: hashes, times and what `…` stands for may be others."""
    text = re.escape(shown)
    text = re.sub(r"[0-9a-f]{4}…", "[0-9a-f]{64}", text)
    text = text.replace("…", ".*")
    text = re.sub(r"2026\\-05\\-15T03:14:15\\\.926\\\+00:00", r"[0-9T:.+-]{29}", text)
    text = re.sub(r"03:14:15\\\.926", r"[0-9:.]{12}", text)
    return re.sub(r'"duration_ms":\d+', r'"duration_ms":\\d+', text)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("newcomer")


@pytest.fixture(scope="module")
def newcomer(home: Path) -> dict[str, str]:
    """The environment of somebody who has set nothing and has activated the environment of the quick start."""
    clean = {name: value for name, value in environment().items() if not name.startswith("XDG_")}
    path = os.pathsep.join([str(Path(sys.executable).parent), clean["PATH"]])
    return clean | {"HOME": str(home), "PATH": path, "AUDIT_STREAM_VERIFY_INTERVAL_S": "0"}


class Daemon:
    """The daemon that the newcomer has started last, which README has them start anew with settings."""

    def __init__(self, home: Path, env: dict[str, str]) -> None:
        self._home = home
        self._env = env
        self._running: DaemonProcess | None = None

    @property
    def url(self) -> str:
        assert self._running is not None
        return self._running.url

    def start(self, settings: dict[str, str]) -> None:
        self.stop()
        process = subprocess.Popen(
            ["audit-stream"],
            env=self._env | {"PORT": "0"} | settings, cwd=self._home, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        self._running = wait_until_listening(process)

    def stop(self) -> None:
        if self._running is not None:
            assert self._running.stop() == 0
            assert self._running.process.stderr is not None
            self._running.process.stderr.close()


@pytest.fixture(scope="module")
def daemon(home: Path, newcomer: dict[str, str]) -> Iterator[Daemon]:
    daemon = Daemon(home, newcomer)
    try:
        yield daemon
    finally:
        daemon.stop()


def run(command: str, cwd: Path, env: dict[str, str]) -> tuple[int, str, str]:
    """What a shell makes of it; what follows for ever is ended by Ctrl-C once it has said something."""
    endless = "audit-stream tail" in command or "curl -sN" in command
    with subprocess.Popen(
        ["bash", "-c", f"set -o pipefail; {command}"],
        env=env, cwd=cwd, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:  # fmt: skip
        if not endless:
            out, err = process.communicate(timeout=DEADLINE_S)
            return process.returncode, out, err
        assert process.stdout is not None
        line = process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)
        rest, err = process.communicate(timeout=DEADLINE_S)
        return 0 if line else 1, line + rest, err


def test_every_command_of_readme_does_what_it_says(home: Path, newcomer: dict[str, str], daemon: Daemon) -> None:
    """In README's order, because the ids that it shows follow each other."""
    ran = []
    for block in BLOCKS:
        for command, shown in commands(block):
            if command.startswith(ELSEWHERE):
                continue
            if (settings := STARTS.fullmatch(command)) is not None:
                daemon.start(dict(each.split("=", 1) for each in settings[1].split()))
                continue
            own = {"AUDIT_STREAM_DB_PATH": str(home / "moved.db")} if "audit-stream import" in block else {}
            if command.startswith(("audit-stream tail", "audit-stream emit")):
                own = {"AUDIT_STREAM_URL": daemon.url}  # the port is not the usual one
            typed = command.replace("http://127.0.0.1:8093", daemon.url).replace("curl -s ", "curl -sSf ")
            code, out, err = run(typed, home, newcomer | own)
            assert (code, err) == (0, ""), f"{command}\n{out}{err}"
            assert re.match(pattern(shown.removesuffix("\n^C").strip()), out), f"{command}\n{shown}\n{out}"
            ran.append(command)
    assert len(ran) > 20
    assert (home / "moved.db").exists()
