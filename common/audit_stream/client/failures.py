"""What goes wrong between a client and a daemon, as ClientError, and how long to wait before trying again."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import msgspec
from httpx_sse import SSEError

from audit_stream.errors import ClientError

__all__ = ["AGAIN", "Again", "back_off_s", "check", "translated"]

AGAIN = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses that say nothing about the request: the same may succeed later (RFC 9110, 15.6)."""

_FIRST_WAIT_S = 0.25
"""A daemon that is restarted answers again after less than half a second."""
_LONGEST_WAIT_S = 15.0


class Again(ClientError):
    """An error that may pass: no answer, or a status of AGAIN. `retry_after_s` is what the daemon asked for."""

    def __init__(self, message: str, *, status: int | None = None, retry_after_s: float = 0) -> None:
        super().__init__(message, status=status)
        self.retry_after_s = retry_after_s


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Turn what httpx and httpx-sse raise in the context into ClientError; `url` is whom they talked to."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        cause = _cause(error)
        raise Again(f"no daemon answers at {url}: start one with `audit-stream`{cause and f' ({cause})'}") from None
    except httpx.TimeoutException:
        raise Again(f"the daemon at {url} is silent") from None
    except httpx.HTTPError as error:
        raise Again(f"the connection to {url} broke: {error}".removesuffix(": ")) from None
    except SSEError:
        raise ClientError(f"what answers at {url} is no audit-stream daemon", status=200) from None


def _cause(error: BaseException | None) -> str:
    """Why no connection came about, as far as what lies behind httpx's error tells; "" when it does not."""
    while error is not None:
        match error:
            case BaseExceptionGroup(exceptions=(first, *_)):  # an address each of a name that has several
                error = first
                continue
            case socket.gaierror():
                return "name not known"
            case ConnectionRefusedError():
                return "connection refused"
            case TimeoutError() | httpx.TimeoutException():
                return "timed out"
            case ssl.SSLError():
                return f"TLS: {error.reason}" if error.reason else "TLS failed"
            case OSError(errno=int(), strerror=str(reason)):
                return reason.lower()
        error = error.__cause__ or error.__context__
    return ""


async def check(answer: httpx.Response, base: str) -> None:
    """Raise ClientError for an answer that is an error, with its problem detail (RFC 9457) if it has one.

    `base` is the daemon's address: one with a path, where nothing is found, is rather a mistaken address.
    """
    if answer.is_success:
        return
    body = await answer.aread()
    try:
        message = str(msgspec.json.decode(body)["detail"])
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError):
        message = f"{answer.url} answered {answer.status_code} {answer.reason_phrase}".rstrip()
    if answer.status_code == 404 and httpx.URL(base).path.strip("/"):
        message = f"{message}: give the daemon's address without a path"
    if answer.status_code not in AGAIN:
        raise ClientError(message, status=answer.status_code)
    retry_after = answer.headers.get("retry-after", "")
    raise Again(
        message, status=answer.status_code, retry_after_s=float(retry_after) if retry_after.isdecimal() else 0.0
    )


def back_off_s(failures: int, jitter: float) -> float:
    """How long to wait after so many failures in a row, longer each time.

    `jitter`, 0 to 1, makes it between half and all of that, so that many clients do not come back at once.
    """
    longest = min(_FIRST_WAIT_S * 2 ** min(failures, 16), _LONGEST_WAIT_S)
    return float(longest * (0.5 + jitter / 2))
