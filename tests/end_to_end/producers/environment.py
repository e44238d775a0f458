"""The virtual environment that the published producers run in.

They share one, because their requirements agree, and it is kept apart from ours, because they must run as published
and not on the versions that we happen to install.
"""

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

PINS = (
    "policy-as-code-engine[api]==0.2.1",
    "procurement-decision-api==0.2.0",
    "data-contract-registry[api]==0.2.0",
    "aeo-validator-service==0.2.0",
)

_CONSTRAINTS = Path(__file__).with_name("constraints.txt")
_CACHE = Path(__file__).parents[3] / ".make"
_INSTALL_TIMEOUT_S = 240.0


class EnvironmentUnavailableError(Exception):
    """The producers could not be installed; the message holds what the installer said last."""


def producers_python() -> Path:
    """The interpreter of an environment that holds the producers at `PINS`.

    The first call on a machine installs them, for which it needs the package index; later calls, in this and other
    processes, find them under `.make/`. Processes that ask at the same time wait for the one that installs.
    Raises EnvironmentUnavailableError.
    """
    venv = _CACHE / f"producers-venv-{_fingerprint()}"
    python = venv / "bin" / "python"
    complete = venv / "complete"
    if complete.exists():
        return python
    _CACHE.mkdir(exist_ok=True)
    with venv.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            # An earlier run may have been stopped half-way.
            shutil.rmtree(venv, ignore_errors=True)
            _install(venv, python)
            complete.touch()
    return python


def _fingerprint() -> str:
    wanted = "\n".join([sys.version, sys.base_prefix, *PINS, _CONSTRAINTS.read_text(encoding="utf-8")])
    return hashlib.sha256(wanted.encode()).hexdigest()[:12]


def _install(venv: Path, python: Path) -> None:
    _run([sys.executable, "-m", "venv", str(venv)])
    # Warnings about the machine's own package sources would drown the reason of a failure.
    _run([str(python), "-m", "pip", "install", "--quiet", "--constraint", str(_CONSTRAINTS), *PINS])


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise EnvironmentUnavailableError(_explain(f"no end after {_INSTALL_TIMEOUT_S:.0f} s", command)) from error
    if done.returncode != 0:
        raise EnvironmentUnavailableError(_explain("\n".join(done.stderr.splitlines()[-10:]), command))


def _explain(reason: str, command: list[str]) -> str:
    return (
        "The published producers could not be installed. The first run of this test needs the package index over the "
        f"network (later runs use .make/).\n{' '.join(command)}\n{reason}"
    )
