"""What runs in the demo's child process: the daemon, which ends with the demo however the demo ends.

`python -m audit_daemon.cli.demo.child DIRECTORY FLAG...`. Standard input is a pipe that only the demo holds. When it
closes, the demo is gone without having said so (killed, out of memory): then the daemon stops, and the directory,
which nobody else would remove any more, goes with it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import threading

from audit_daemon.cli.app import run


def main() -> int:
    """Run the daemon; returns its exit code."""
    directory, *flags = sys.argv[1:]
    orphaned = threading.Event()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # before the daemon has a handler of its own
    threading.Thread(target=_watch, args=(orphaned,), daemon=True).start()
    try:
        return run(flags)
    finally:
        if orphaned.is_set():
            shutil.rmtree(directory, ignore_errors=True)


def _watch(orphaned: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    orphaned.set()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
