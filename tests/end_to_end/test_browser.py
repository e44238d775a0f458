"""What a page in a real browser gets from the daemon: live events, answers to its requests, nothing for strangers."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.daemon_process import DaemonProcess, start_daemon
from tests.end_to_end.browser import Browser, missing_programs

pytestmark = pytest.mark.skipif(
    bool(missing_programs()) and "CI" not in os.environ,
    reason=f"needs {' and '.join(missing_programs())} (Debian: apt-get install chromium chromium-driver)",
)

# What every page of these tests can do. Its `until` waits for a condition to hold after something has happened.
PAGE = """<!doctype html><meta charset="utf-8"><title>A page</title><link rel="icon" href="data:,"><script>
const messages = [];
const waiting = new Set();
let source, opened = 0, failed = 0;
function happened() { for (const check of [...waiting]) check(); }
function until(condition) {
  return new Promise((resolve) => {
    const check = () => { if (condition()) { waiting.delete(check); resolve(); } };
    waiting.add(check);
    check();
  });
}
function follow(url, names = []) {
  const keep = ({type, lastEventId, data}) => {
    messages.push({type, id: lastEventId, event: JSON.parse(data)});
    happened();
  };
  source = new EventSource(url);
  source.onmessage = keep;
  for (const name of names) source.addEventListener(name, keep);
  source.onopen = () => { opened += 1; happened(); };
  source.onerror = () => { failed += 1; happened(); };
  return until(() => opened || source.readyState === EventSource.CLOSED);
}
async function answer(url, options) {
  const response = await fetch(url, options);
  const headers = Object.fromEntries(response.headers);
  return {status: response.status, headers, body: await response.json()};
}
async function outcome(url, options) {
  try { return (await answer(url, options)).status; } catch (error) { return error.name; }
}
</script>"""

POST_JSON = "{method: 'POST', headers: {'content-type': 'application/json'}, body: JSON.stringify(args[1])}"

DEADLINE_S = 30.0

EVENT = {"kind": "request_denied", "source": "a-page", "payload": {"reason": "“naïve” 🔐", "burn_rate": 14.4}}


class Page(BaseHTTPRequestHandler):
    """Serves the same page at every path."""

    def do_GET(self) -> None:
        body = PAGE.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Keep quiet: what the browser asked for is no part of a test's output."""


@contextmanager
def page_server() -> Iterator[str]:
    """The origin, such as `http://127.0.0.1:40123`, at which the page is served."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def page() -> Iterator[str]:
    """The origin that the daemon is told to answer."""
    with page_server() as origin:
        yield origin


@pytest.fixture(scope="module")
def strange_page() -> Iterator[str]:
    """An origin that the daemon has not been told of."""
    with page_server() as origin:
        yield origin


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One for all tests: each opens a page of its own, which ends what the page before it had open."""
    with Browser(tmp_path_factory.mktemp("browser") / "profile") as browser:
        yield browser


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "audit.db"


@contextmanager
def daemon_for(page: str, database: Path, *args: str) -> Iterator[DaemonProcess]:
    with start_daemon(database, *args, env={"AUDIT_STREAM_CORS_ORIGINS": page}) as daemon:
        yield daemon


@pytest.fixture
def daemon(page: str, database: Path) -> Iterator[DaemonProcess]:
    with daemon_for(page, database) as daemon:
        yield daemon


def append(daemon: DaemonProcess, count: int, *, kind: str = "request_allowed") -> list[dict[str, Any]]:
    """What the daemon answered to `count` events, appended one after the other."""
    with httpx.Client(base_url=daemon.url, trust_env=False) as client:
        bodies = [{"kind": kind, "source": "a-producer", "payload": {"number": number}} for number in range(count)]
        return [client.post("/events", json=body).raise_for_status().json() for body in bodies]


def stored(daemon: DaemonProcess) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = httpx.get(f"{daemon.url}/events", trust_env=False).raise_for_status().json()
    return events


def end(daemon: DaemonProcess, how: signal.Signals) -> None:
    """Send the signal and wait for the daemon's end. At SIGKILL no handler runs and the connections just break."""
    daemon.process.send_signal(how)
    daemon.process.wait(DEADLINE_S)


def unnamed(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """`events` as `onmessage` gets them."""
    return [{"type": "message", "id": str(event["event_id"]), "event": event} for event in events]


def messages(browser: Browser, count: int) -> Any:
    """All that the page has received, once that is at least `count` messages."""
    return browser.run("await until(() => messages.length >= args[0]); return messages", count)


def test_a_fresh_event_source_gets_each_new_event_through_onmessage_and_no_backlog(
    browser: Browser, daemon: DaemonProcess, page: str
) -> None:
    append(daemon, 3)
    browser.open(page)
    browser.run("await follow(args[0])", f"{daemon.url}/events/stream")

    appended = append(daemon, 2)

    assert messages(browser, 2) == unnamed(appended)


def test_an_event_source_on_the_named_stream_gets_each_kind_through_its_own_listener(
    browser: Browser, daemon: DaemonProcess, page: str
) -> None:
    append(daemon, 1)
    browser.open(page)
    browser.run("await follow(args[0], ['watch_drifted', 'breaker_opened'])", f"{daemon.url}/stream")

    drifted, _, opened = (
        append(daemon, 1, kind=kind)[0] for kind in ("watch_drifted", "request_allowed", "breaker_opened")
    )

    assert messages(browser, 2) == [
        {"type": "watch_drifted", "id": str(drifted["event_id"]), "event": drifted},
        {"type": "breaker_opened", "id": str(opened["event_id"]), "event": opened},
    ]


def test_the_allowed_page_can_append_an_event_and_read_the_answer(
    browser: Browser, daemon: DaemonProcess, page: str
) -> None:
    browser.open(page)

    answer = browser.run(f"return await answer(args[0], {POST_JSON})", f"{daemon.url}/events", EVENT)

    assert answer["status"] == 201
    assert stored(daemon) == [answer["body"]]
    assert {name: answer["body"][name] for name in EVENT} == EVENT


def test_the_allowed_page_can_read_why_its_event_was_refused(
    browser: Browser, daemon: DaemonProcess, page: str
) -> None:
    browser.open(page)

    answer = browser.run(
        f"return await answer(args[0], {POST_JSON})", f"{daemon.url}/events", {**EVENT, "kind": "nonsense"}
    )

    assert answer["status"] == 422
    assert answer["headers"]["content-type"] == "application/problem+json"
    assert "AUDIT_STREAM_EXTRA_KINDS" in answer["body"]["detail"]


@pytest.mark.parametrize("path", ["/events/1", "/events?limit=0", "/no/such/page"])
def test_the_allowed_page_can_read_every_error(browser: Browser, daemon: DaemonProcess, page: str, path: str) -> None:
    browser.open(page)

    answer = browser.run("return await answer(args[0])", daemon.url + path)

    assert answer["body"]["status"] == answer["status"] >= 400


def test_the_allowed_page_can_use_the_headers_of_the_api(browser: Browser, daemon: DaemonProcess, page: str) -> None:
    """Without being named in the preflight's answer, a header cannot be sent, and most cannot be read."""
    browser.open(page)
    twice = "{...post, headers: {...post.headers, 'idempotency-key': 'one'}}"

    first, again, paged, resumed = browser.run(
        f"""const post = {POST_JSON}, url = args[0];
        const first = await answer(url + '/events', {twice}), again = await answer(url + '/events', {twice});
        await answer(url + '/events', post);
        const paged = await answer(url + '/events?limit=1');
        const stream = await fetch(url + '/events/stream', {{headers: {{'last-event-id': '1'}}}});
        const reader = stream.body.pipeThrough(new TextDecoderStream()).getReader();
        let resumed = '';
        while (!resumed.includes('data:')) resumed += (await reader.read()).value;
        await reader.cancel();
        return [first, again, paged, resumed]""",
        daemon.url,
        EVENT,
    )

    assert (first["status"], again["status"], again["body"]) == (201, 200, first["body"])
    assert again["headers"]["idempotent-replayed"] == "true"
    assert 'rel="' in paged["headers"]["link"]
    assert '"event_id":2' in resumed.replace(" ", "")


def test_a_page_of_another_origin_cannot_read(browser: Browser, daemon: DaemonProcess, strange_page: str) -> None:
    append(daemon, 1)
    browser.open(strange_page)

    outcomes = browser.run(
        "return await Promise.all(args[1].map((path) => outcome(args[0] + path)))",
        daemon.url,
        ["/", "/events", "/events/1", "/events/1/canonical", "/verify", "/stats", "/metrics", "/nowhere"],
    )
    browser.run("await follow(args[0])", f"{daemon.url}/events/stream")

    assert set(outcomes) == {"TypeError"}
    assert browser.run("return [opened, source.readyState === EventSource.CLOSED]") == [0, True]


@pytest.mark.parametrize(
    "request_options",
    [
        pytest.param("{headers: {'content-type': 'application/json'}}", id="json-asks-first"),
        pytest.param("{mode: 'no-cors', headers: {'content-type': 'text/plain'}}", id="text-does-not-ask"),
        pytest.param("{mode: 'no-cors', body: new Blob([body])}", id="no-content-type-does-not-ask"),
        pytest.param("{mode: 'no-cors', body: new URLSearchParams([[body, '']])}", id="form-does-not-ask"),
    ],
)
def test_a_page_of_another_origin_cannot_append(
    browser: Browser, daemon: DaemonProcess, page: str, strange_page: str, request_options: str
) -> None:
    """A request that does not ask first reaches the daemon: not letting the page read the answer is not enough."""
    browser.open(strange_page)

    browser.run(
        f"""const body = JSON.stringify(args[1]);
        await fetch(args[0], {{method: 'POST', body, ...{request_options}}}).catch(() => null)""",
        f"{daemon.url}/events",
        EVENT,
    )

    assert stored(daemon) == []


def test_no_page_can_read_or_append_without_the_setting(browser: Browser, page: str, database: Path) -> None:
    with start_daemon(database) as daemon:
        browser.open(page)

        outcomes = browser.run(
            f"return [await outcome(args[0]), await outcome(args[0], {POST_JSON})]", f"{daemon.url}/events", EVENT
        )

        assert outcomes == ["TypeError", "TypeError"]
        assert stored(daemon) == []


@pytest.mark.parametrize(
    ("already", "received", "ending"),
    [
        pytest.param(0, 0, signal.SIGKILL, id="crash-of-an-empty-log"),
        pytest.param(3, 0, signal.SIGKILL, id="crash-before-it-received-any"),
        pytest.param(3, 2, signal.SIGKILL, id="crash-after-it-received-some"),
        pytest.param(3, 0, signal.SIGTERM, id="orderly-stop"),
    ],
)
def test_an_event_source_goes_on_by_itself_after_the_daemon_was_away_and_misses_nothing(
    browser: Browser, page: str, database: Path, already: int, received: int, ending: signal.Signals
) -> None:
    with daemon_for(page, database) as daemon:
        append(daemon, already)
        browser.open(page)
        browser.run("await follow(args[0])", f"{daemon.url}/events/stream")
        expected = append(daemon, received)
        messages(browser, received)
        end(daemon, ending)
    browser.run("await until(() => failed > 0)")
    # At another port the daemon is out of the page's reach: what is appended there falls into the gap for certain.
    with daemon_for(page, database) as elsewhere:
        expected += append(elsewhere, 2)

    with daemon_for(page, database, "--port", str(daemon.port)) as again:
        browser.run("await until(() => opened === 2)")
        expected += append(again, 1)

        assert messages(browser, len(expected)) == unnamed(expected)


def test_no_event_is_missed_or_doubled_when_the_daemon_crashes_while_appending(
    browser: Browser, page: str, database: Path
) -> None:
    """What was in flight at the crash may be on disk without its producer knowing; the page follows the disk."""
    with daemon_for(page, database) as daemon:
        browser.open(page)
        browser.run("await follow(args[0])", f"{daemon.url}/events/stream")
        with appending_all_the_time(daemon):
            messages(browser, 50)
            end(daemon, signal.SIGKILL)
    with (
        daemon_for(page, database, "--port", str(daemon.port)) as again,
        appending_all_the_time(again) as stop,
    ):
        browser.run("await until(() => opened === 2 && messages.length >= args[0])", 100)
        stop.set()
        last = append(again, 1)[0]["event_id"]

        browser.run("await until(() => messages.at(-1).event.event_id >= args[0])", last)
        assert browser.run("return messages") == unnamed(stored(again))


@contextmanager
def appending_all_the_time(daemon: DaemonProcess) -> Iterator[threading.Event]:
    """A producer that appends until the daemon is gone or the event that this gives is set."""
    stop = threading.Event()

    def run() -> None:
        with httpx.Client(base_url=daemon.url, trust_env=False) as client:
            while not stop.is_set():
                try:
                    client.post("/events", json=EVENT)
                except httpx.TransportError:
                    return

    producer = threading.Thread(target=run)
    producer.start()
    try:
        yield stop
    finally:
        stop.set()
        producer.join()
