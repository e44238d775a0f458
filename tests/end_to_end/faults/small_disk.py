"""A file system of a few megabytes in a mount namespace of its own, where the test may mount one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.daemon_process import DEADLINE_S, DaemonProcess, wait_until_listening

SIZE = "64m"
"""Room for what the test writes, also on a busy machine, where producers get further than they are waited for.

The log is not moved into the database before it has grown to 32 MB.
"""

_NAMESPACES = [(["--mount"], ["--mount"])]  # what unshare needs, and what nsenter needs to come after it
_NAMESPACES += [(["--map-root-user", "--mount"], ["--user", "--preserve-credentials", "--mount"])]


class SmallDisk:
    """`path` is where it is mounted for the daemons that are started in it; `seen` is the same place for the test."""

    def __init__(self, holder: int, path: Path, enter: list[str]) -> None:
        self.path = path
        self.seen = Path(f"/proc/{holder}/root{path}")
        self._enter = ["nsenter", "--target", str(holder), *enter]

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start a daemon on a file of this disk."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("AUDIT_STREAM_")}
        ours = {"AUDIT_STREAM_CONFIG": os.devnull, "AUDIT_STREAM_VERIFY_INTERVAL_S": "0"}
        return subprocess.Popen(
            [*self._enter, sys.executable, "-m", "audit_daemon", "--port", "0", "--db", str(self.path / "audit.db")],
            env=clean | ours,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    @contextmanager
    def daemon(self) -> Iterator[DaemonProcess]:
        """A daemon that listens; stopped on exit."""
        process = self.spawn()
        try:
            yield wait_until_listening(process)
        finally:
            if process.poll() is None:
                process.terminate()
            process.communicate(timeout=DEADLINE_S)

    def fill(self) -> None:
        """Take all the room that is left."""
        block = b"\0" * 4096
        with (self.seen / "filler").open("ab", buffering=0) as filler:
            try:
                while filler.write(block) == len(block):
                    pass
            except OSError:
                return

    def free(self) -> None:
        """Give the room back."""
        (self.seen / "filler").unlink()


@contextmanager
def small_disk(path: Path) -> Iterator[SmallDisk]:
    """Mount a small file system at `path`; skips the test where this machine does not allow it."""
    for unshare, enter in _NAMESPACES:
        script = f'mount -t tmpfs -o size={SIZE} small "$0" && echo mounted && exec cat'
        try:
            holder = subprocess.Popen(
                ["unshare", *unshare, "sh", "-c", script, str(path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except FileNotFoundError:
            break
        with holder:
            assert holder.stdout is not None
            if holder.stdout.readline() != b"mounted\n":
                continue
            try:
                yield SmallDisk(holder.pid, path, enter)
            finally:
                holder.kill()
            return
    pytest.skip("this machine does not let a test mount a file system; RLIMIT_FSIZE stands in for it below")
