"""The client against servers with and without TLS, and before proxies."""

from __future__ import annotations

import asyncio
import re
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from audit_stream.client import Client
from audit_stream.errors import ClientError

CERTIFICATE, CERTIFICATE_KEY = (
    Path(__file__).with_name("tls") / name for name in ("localhost.crt", "localhost.key")
)  # of localhost, signed by itself, good until 2126


@pytest.fixture
def tls_port() -> Iterator[int]:
    """A server that answers every request with 403, and only in TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, CERTIFICATE_KEY)
    yield from serving(context)


@pytest.fixture
def plain_port() -> Iterator[int]:
    """A server that answers every request with 403, without TLS."""
    yield from serving(None)


def serving(context: ssl.SSLContext | None) -> Iterator[int]:
    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(403)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that hang up are expected
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def said_of(url: str, transport: httpx.AsyncBaseTransport | None = None) -> str:
    async def ask() -> None:
        async with Client(url, transport=transport) as client:
            await client.stats()

    with pytest.raises(ClientError) as caught:
        asyncio.run(ask())
    return str(caught.value)


def test_a_certificate_that_nobody_trusted_has_signed_is_said_to_be_one(
    tls_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"https://localhost:{tls_port}"
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    assert re.fullmatch(
        rf"the certificate of {url} is not trusted \(self.signed certificate\): let SSL_CERT_FILE name its authority",
        said_of(url),
    )


def test_a_certificate_of_an_authority_that_one_names_is_trusted_also_on_this_machine(
    tls_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    url = f"https://localhost:{tls_port}"
    assert said_of(url) == f"{url}/stats answered 403 Forbidden"


def test_the_certificate_of_another_host_is_said_to_be_one(tls_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    assert re.fullmatch(
        rf"the certificate of https://127\.0\.0\.1:{tls_port} is not trusted \(.*not valid for '127\.0\.0\.1'.*\)",
        said_of(f"https://127.0.0.1:{tls_port}"),
    )


@pytest.mark.parametrize("reason", ["WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"])
@pytest.mark.parametrize(
    ("proxy", "url", "who"),
    [
        ("HTTPS_PROXY", "https://daemon.test", "the proxy or https://daemon.test"),
        ("ALL_PROXY", "http://daemon.test", "the proxy before http://daemon.test"),
        ("HTTPS_PROXY", "https://127.0.0.1", "https://127.0.0.1"),
        ("", "https://daemon.test", "https://daemon.test"),
    ],
)
def test_where_a_proxy_is_before_a_server_either_may_be_the_one_without_tls(
    proxy: str, url: str, who: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    if proxy:
        monkeypatch.setenv(proxy, "https://proxy.test")

    def answer(request: httpx.Request) -> httpx.Response:
        error = ssl.SSLError(1, f"[SSL: {reason}] it depends on the version of OpenSSL")
        error.reason = reason
        raise httpx.ConnectError("") from error

    assert said_of(url, httpx.MockTransport(answer)) == f"{who} does not speak TLS: try http:"


def test_an_alert_that_comes_after_the_handshake_is_a_client_error() -> None:
    def alert(request: httpx.Request) -> httpx.Response:
        error = ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required")
        error.reason = "TLSV13_ALERT_CERTIFICATE_REQUIRED"
        raise error  # as it comes from a read, which httpx does not translate

    said = said_of("https://daemon.test", httpx.MockTransport(alert))
    assert said == "no TLS with https://daemon.test: tlsv13 alert certificate required"


def test_a_server_without_tls_is_said_to_be_one(plain_port: int) -> None:
    url = f"https://localhost:{plain_port}"
    assert said_of(url) == f"{url} does not speak TLS: try http:"


@pytest.mark.parametrize(("content", "reason"), [(None, "No such file or directory"), ("none", ".*")])
def test_authorities_that_cannot_be_read_are_a_client_error(
    content: str | None, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = tmp_path / "authorities.pem"
    if content is not None:
        named.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(named))
    with pytest.raises(ClientError, match=rf"^SSL_CERT_FILE: no certificates can be read from {named}: {reason}$"):
        Client("https://daemon.test")
