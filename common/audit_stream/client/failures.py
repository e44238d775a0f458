"""What goes wrong between a client and a daemon, as ClientError, and how long to wait before trying again."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import msgspec

from audit_stream.client.limits import ShortBody
from audit_stream.client.tls import no_tls
from audit_stream.errors import ClientError

__all__ = ["AGAIN", "LONGEST_WAIT_S", "Again", "back_off_s", "check", "check_plain", "translated"]

AGAIN = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses that say nothing about the request: the same may succeed later (RFC 9110, 15.6)."""

_FIRST_WAIT_S = 0.25
"""A daemon that is restarted answers again after less than half a second."""
LONGEST_WAIT_S = 15.0

_MAX_DETAIL = 2_000
"""Characters of a problem's detail: a daemon's are sentences."""


class Again(ClientError):
    """An error that may pass: no answer, or a status of AGAIN. `retry_after_s` is what the daemon asked for."""

    def __init__(self, message: str, *, status: int | None = None, retry_after_s: float = 0) -> None:
        super().__init__(message, status=status)
        self.retry_after_s = retry_after_s


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Turn what httpx raises in the context into ClientError; `url` is whom they talked to."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise Again(_unreached(url, error)) from None
    except httpx.TimeoutException:
        raise Again(f"the daemon at {url} is silent") from None
    except ssl.SSLError as error:  # what comes after the handshake is nobody's in httpx
        raise Again(no_tls(url, error)) from None
    except httpx.HTTPError as error:
        raise Again(f"the connection to {url} broke: {error}".removesuffix(": ")) from None
    except (httpx.InvalidURL, OverflowError, UnicodeError) as error:  # of names and ports that only the system refuses
        raise ClientError(f"{url} is no address that can be asked: {error}") from None


def _unreached(url: str, error: BaseException | None) -> str:
    """Why no connection came about, as far as what lies behind httpx's error tells."""
    cause = ""
    while error is not None and not cause:
        match error:
            case BaseExceptionGroup(exceptions=(first, *_)):  # an address each of a name that has several
                error = first
                continue
            case ssl.SSLError():
                return no_tls(url, error)
            case socket.gaierror():
                cause = "name not known"
            case ConnectionRefusedError():
                cause = "connection refused"
            case TimeoutError() | httpx.TimeoutException():
                cause = "timed out"
            case OSError(errno=int(), strerror=str(reason)):
                cause = reason.lower()
        error = error.__cause__ or error.__context__
    return f"no daemon answers at {url}: start one with `audit-stream`{cause and f' ({cause})'}"


def check_plain(answer: httpx.Response, base: str) -> None:
    """Raise ClientError for an answer with a Content-Encoding, before its body is read: none was asked for.

    It would be inflated behind what limits it, a thousand times and more.
    """
    codings = answer.headers.get_list("content-encoding", split_commas=True)
    coding = next((each for each in codings if each.strip().lower() not in ("", "identity")), None)
    if coding is not None:
        raise _refusal(answer, f"the answer of {base} is encoded as {coding.strip()[:40]}, which was not asked for")


async def check(answer: httpx.Response, base: str) -> None:
    """Raise ClientError for an answer that is an error, with its problem detail (RFC 9457) if it has one.

    `base` is the daemon's address: one with a path, where nothing is found, is rather a mistaken address.
    """
    if answer.is_success:
        return
    if not answer.is_stream_consumed:
        answer.stream = ShortBody(answer.stream)  # short lines alone may go on for ever
    body = await answer.aread()
    try:
        message = str(msgspec.json.decode(body)["detail"])[:_MAX_DETAIL]
    except (msgspec.DecodeError, ValueError, KeyError, TypeError, RecursionError):  # ValueError: also too many digits
        message = f"{answer.url} answered {answer.status_code} {answer.reason_phrase}".rstrip()
    if answer.status_code == 404 and httpx.URL(base).path.strip("/"):
        message = f"{message}: give the daemon's address without a path"
    raise _refusal(answer, message)


def _refusal(answer: httpx.Response, message: str) -> ClientError:
    status = answer.status_code
    if status not in AGAIN:
        return ClientError(message, status=status)
    retry_after = answer.headers.get("retry-after", "")
    return Again(message, status=status, retry_after_s=float(retry_after) if retry_after.isdecimal() else 0.0)


def back_off_s(failures: int, jitter: float) -> float:
    """How long to wait after so many failures in a row, longer each time.

    `jitter`, 0 to 1, makes it between half and all of that, so that many clients do not come back at once.
    """
    longest = min(_FIRST_WAIT_S * 2 ** min(failures, 16), LONGEST_WAIT_S)
    return float(longest * (0.5 + jitter / 2))
