"""Events at a fixed rate, in batches from a process of its own: `python -m benchmarks.feed PORT PER_SECOND COUNT`.

An open loop: every batch has a due time, fixed in advance. Prints the lateness of the last batch in seconds at the end.
"""

import sys
import time
from http.client import HTTPConnection

from benchmarks import bodies
from benchmarks.http_client import TIMEOUT_S, UnexpectedAnswerError

_BATCHES_PER_S = 20


def main() -> int:
    """Send them; returns the exit code."""
    port, per_second, count = (int(argument) for argument in sys.argv[1:])
    print(f"{feed(port, per_second=per_second, count=count):.3f}")
    return 0


def feed(port: int, *, per_second: int, count: int) -> float:
    """Append `count` events; returns how late the last answer was."""
    size = max(1, per_second // _BATCHES_PER_S)
    interval_s = size / per_second
    batches = [bodies.batch(size, first=first) for first in range(0, bodies.CYCLE, size)]  # before the clock starts
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    began = time.monotonic()
    sent, late_s = 0, 0.0
    while sent < count:
        number = sent // size
        due = began + number * interval_s
        if (wait_s := due - time.monotonic()) > 0:
            time.sleep(wait_s)
        part = min(size, count - sent)
        _post(connection, batches[number % len(batches)] if part == size else bodies.batch(part))
        late_s = time.monotonic() - due
        sent += part
    connection.close()
    return late_s


def _post(connection: HTTPConnection, body: bytes) -> None:
    connection.request("POST", "/events/batch", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = response.read()
    if response.status // 100 != 2:
        raise UnexpectedAnswerError(f"{response.status} {answer[:500].decode(errors='replace')}")


if __name__ == "__main__":
    sys.exit(main())
