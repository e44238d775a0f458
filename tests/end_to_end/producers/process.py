"""A published producer as a running server, seen from the test."""

import os
import select
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.end_to_end.producers.environment import producers_python

_LAUNCH = Path(__file__).with_name("launch.py")
# Four of them import their web framework at once on a small machine.
_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 10.0
_REQUEST_TIMEOUT_S = 30.0


@dataclass(frozen=True, kw_only=True)
class RunningProducer:
    """A client for the producer's own API, and the file that its output goes to."""

    http: httpx.Client
    log: Path

    def call(
        self, method: str, path: str, *, expect: int, json: object = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """The answer to one request, which must have the status `expect`."""
        response = self.http.request(method, path, json=json, headers=headers)
        assert response.status_code == expect, f"{method} {path}: {response.status_code} {response.text}"
        return response


@contextmanager
def run_producer(app: str, *, documents: Path, log: Path, environment: Mapping[str, str]) -> Iterator[RunningProducer]:
    """Serve `app` (MODULE:APP) on a free loopback port until the block ends.

    It sees nothing of our environment but PATH: a proxy set for the machine must not come between it and the daemon.
    """
    read_fd, write_fd = os.pipe()
    command = [str(producers_python()), "-I", str(_LAUNCH), app]
    options = ["--ready-fd", str(write_fd), "--documents", str(documents)]
    with open(read_fd, "rb", closefd=True) as ready, log.open("wb") as output:  # noqa: PTH123 -- a file descriptor
        try:
            process = subprocess.Popen(
                [*command, *options],
                env={"PATH": os.environ["PATH"], **environment},
                pass_fds=[write_fd],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        finally:
            os.close(write_fd)
        try:
            # The line arrives, or the process ends and the pipe with it, or neither within the deadline.
            waited = select.select([ready], [], [], _START_TIMEOUT_S)[0]
            port = ready.readline().strip().decode() if waited else ""
            assert port, f"{app} did not start:\n{log.read_text(encoding='utf-8', errors='replace')}"
            with httpx.Client(
                base_url=f"http://127.0.0.1:{port}", timeout=_REQUEST_TIMEOUT_S, trust_env=False
            ) as client:
                yield RunningProducer(http=client, log=log)
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
