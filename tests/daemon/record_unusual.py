"""Records how audit-stream 0.1.0 serves what it should have refused, for test_cli_import_restored.py.

Run it with an environment in which audit-stream 0.1.0 is installed, and nothing else is needed:

    python -m venv prototype && prototype/bin/pip install audit-stream==0.1.0
    prototype/bin/python tests/daemon/record_unusual.py tests/data/unusual_chain.json

It starts that release on a free port, posts the bodies below in their order, and writes down the answer to each, what
`GET /events/{id}` then gives for each event (null for an error page), and the head of `GET /stats`.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

DEADLINE_S = 20

PAYLOADS = [
    '{"rate":NaN}',
    '{"rate":Infinity,"low":-Infinity,"owner":null}',
    '{"rate":1e400,"low":-1e400}',
    '{"zero":-0.0,"i":-0,"big":123456789012345678901234567890,"e":1e22,"E":1E2,"one":1.0,"tiny":5e-324}',
    '{"twice":1,"twice":null}',
    '{"half":"\\ud800"}',
    '{"half \\udc7f of a key":[null,{"n":NaN}]}',
    '{"nested":[NaN,[NaN,{"a":Infinity,"none":null}]],"NaN":"NaN"}',
    '{"deep":' + '{"a":' * 300 + "NaN" + "}" * 301,
    '{"text":"\x7f \u2028 \U0001f600 \ufffd\ufffd\ufffd"}',
    '{"last":true}',
]


def record(path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "audit_stream"],
        env={**os.environ, "HOST": "127.0.0.1", "PORT": str(port)},
        stderr=subprocess.DEVNULL,
    )

    def ask(method: str, target: str, body: bytes | None = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
        connection.request(method, target, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read().decode()

    try:
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                ask("GET", "/healthz")
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
        bodies = [
            f'{{"kind":"other","source":"s","timestamp":"2026-05-15T03:14:{second:02}Z","payload":{payload}}}'
            for second, payload in enumerate(PAYLOADS)
        ]
        answers = [ask("POST", "/events", body.encode())[0] for body in bodies]
        served = [ask("GET", f"/events/{number}") for number in range(1, len(bodies) + 1)]
        recording = {
            "about": "How audit-stream 0.1.0 serves unusual events, recorded by tests/daemon/record_unusual.py.",
            "bodies": bodies,
            "answers": answers,
            "events_status": ask("GET", "/events?limit=100000")[0],
            "served": [text if status == 200 else None for status, text in served],
            "stats": json.loads(ask("GET", "/stats")[1]),
        }
    finally:
        process.terminate()
        process.wait()
    path.write_text(json.dumps(recording, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    record(Path(sys.argv[1]))
