"""Records what audit-stream 0.1.0 answers, as the golden file that test_compatibility.py holds the daemon to.

Run it with an environment in which audit-stream 0.1.0 is installed, and nothing else is needed:

    python -m venv prototype && prototype/bin/pip install audit-stream==0.1.0
    prototype/bin/python tests/daemon/http/record_0_1_0.py tests/data/answers_0_1_0.json

It starts that release on a free port, follows /stream, sends the requests below in their order and writes each with its
answer. Every stored event has its own timestamp up to the reads, so all hashes are the same at every recording.
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
from typing import Any

DEADLINE_S = 20

Fields = dict[str, Any]


def post(name: str, body: str, content_type: str | None = "application/json") -> Fields:
    headers = {} if content_type is None else {"Content-Type": content_type}
    return {"name": name, "method": "POST", "target": "/events", "headers": headers, "body": body}


def publish(name: str, second: int, **fields: object) -> Fields:
    return post(name, json.dumps({**fields, "timestamp": f"2026-05-15T03:14:{second:02}+00:00"}))


def get(name: str, target: str, method: str = "GET") -> Fields:
    return {"name": name, "method": method, "target": target, "headers": {}, "body": None}


POLICY, REGISTRY = "policy-as-code-engine", "data-contract-registry"

REQUESTS = [
    get("root", "/"),
    get("healthz", "/healthz"),
    get("stats of an empty log", "/stats"),
    get("verify of an empty log", "/verify"),
    get("events of an empty log", "/events"),
    get("event of an empty log", "/events/1"),
    publish("post", 1, kind="request_denied", source=POLICY, payload={"rule": "dpa-required", "at": {"z": 1, "a": []}}),
    publish("post without payload", 2, kind="request_allowed", source=POLICY),
    publish("post with an empty payload", 3, kind="contract_promoted", source=REGISTRY, payload={}),
    publish(
        "post beyond ASCII", 4, kind="other", source="vendor/a@b:c", payload={"é": "Straße 😀\x7f\u2028", "": None}
    ),
    publish("post numbers", 5, kind="other", source=POLICY, payload={"f": 14.399999999999999, "i": 2**70, "e": 1e-7}),
    post("post at another offset", '{"kind":"other","source":"s","timestamp":"2026-05-15T05:14:06.5+02:00"}'),
    post(
        "post with a charset",
        '{"kind":"other","source":"s","timestamp":"2026-05-15T03:14:07Z"}',
        "application/json; charset=utf-8",
    ),
    post("unknown kind", '{"kind":"nope","source":"s"}'),
    post("kind is null", '{"kind":null,"source":"s"}'),
    post("kind is missing", '{"source":"s"}'),
    post("source is missing", '{"kind":"other"}'),
    post("source is empty", '{"kind":"other","source":""}'),
    post("source is a number", '{"kind":"other","source":1}'),
    post("extra field", '{"kind":"other","source":"s","hash":"0"}'),
    post("payload is an array", '{"kind":"other","source":"s","payload":[]}'),
    post("payload is null", '{"kind":"other","source":"s","payload":null}'),
    post("payload is a text", '{"kind":"other","source":"s","payload":"x"}'),
    post("timestamp is a number", '{"kind":"other","source":"s","timestamp":1}'),
    post("malformed JSON", '{"kind":"other","source":'),
    post("empty body", ""),
    post("body is an array", "[]"),
    get("events", "/events"),
    get("events by kind", "/events?kind=other"),
    get("events of a kind that nobody sent", "/events?kind=flag_swapped"),
    get("events by source", f"/events?source={POLICY}"),
    get("events of an unknown source", "/events?source=nobody"),
    get("limit 1", "/events?limit=1"),
    get("limit 3", "/events?limit=3"),
    get("limit with kind", "/events?kind=other&limit=2"),
    get("limit 100000", "/events?limit=100000"),
    get("limit 0", "/events?limit=0"),
    get("limit 100001", "/events?limit=100001"),
    get("limit -1", "/events?limit=-1"),
    get("unknown kind in a query", "/events?kind=nope"),
    get("event", "/events/4"),
    get("event beyond the head", "/events/8"),
    get("event 0", "/events/0"),
    get("event -1", "/events/-1"),
    get("event that is no number", "/events/x"),
    get("event that is no whole number", "/events/1.5"),
    get("stats", "/stats"),
    get("verify", "/verify"),
    get("unknown path", "/nope"),
    get("PUT", "/events", "PUT"),
    get("DELETE", "/events/1", "DELETE"),
    get("HEAD", "/events", "HEAD"),
    get("POST of the root", "/", "POST"),
    # From here on the daemon differs on purpose; what of it 0.1.0 stores comes after all that is compared.
    get("limit abc", "/events?limit=abc"),
    get("kind and source", f"/events?kind=other&source={POLICY}"),
    get("unknown query parameter", "/events?colour=red"),
    post("another content type", '{"kind":"other","source":"s"}', "text/plain"),
    post("no content type", '{"kind":"other","source":"s"}', None),
    post("timestamp is no instant", '{"kind":"other","source":"s","timestamp":"yesterday"}'),
    post("timestamp is empty", '{"kind":"other","source":"s","timestamp":""}'),
    post("source outside the pattern", '{"kind":"other","source":"é x"}'),
]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def wait_until_listening(port: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise


def answer(port: int, request: Fields) -> Fields:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
    body = None if request["body"] is None else request["body"].encode()
    connection.request(request["method"], request["target"], body, request["headers"])
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return {**request, "status": response.status, "answer": json.loads(text) if text else None}


def read_messages(stream: http.client.HTTPResponse, count: int) -> list[Fields]:
    messages: list[Fields] = []
    message: dict[str, str] = {}
    while len(messages) < count:
        line = stream.readline().decode().rstrip("\r\n")
        name, colon, value = line.partition(": ")
        if not line and message:
            messages.append({**message, "data": json.loads(message["data"])})
            message = {}
        elif name and colon:
            message[name] = value
    return messages


def record(path: Path) -> None:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "audit_stream"], env={**os.environ, "HOST": "127.0.0.1", "PORT": str(port)}
    )
    try:
        wait_until_listening(port)
        follower = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
        follower.request("GET", "/stream")
        stream = follower.getresponse()
        answers = [answer(port, request) for request in REQUESTS]
        stored = sum(1 for event in answers if event["name"].startswith("post"))
        recording = {
            "about": "Answers of audit-stream 0.1.0, recorded by tests/daemon/http/record_0_1_0.py.",
            "answers": answers,
            "stream": read_messages(stream, stored),
        }
    finally:
        process.terminate()
        process.wait()
    path.write_text(json.dumps(recording, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    record(Path(sys.argv[1]))
