"""TLS, and the proxies that may stand before it: whom a client trusts, and what it says when there is no trust."""

from __future__ import annotations

import ipaddress
import os
import ssl
import urllib.request

import httpx

from audit_stream.errors import ClientError

__all__ = ["authorities", "is_loopback", "no_tls"]

_ISSUER_UNKNOWN = frozenset({18, 19, 20, 21})
"""OpenSSL's X509_V_ERR codes for what no trusted authority has signed (openssl-verification-options(1))."""
_NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"})
"""What OpenSSL calls an answer whose first bytes are no TLS record; the latter since 3.2 (urllib3's issue 3268)."""


def authorities() -> ssl.SSLContext:
    """Whose certificates are trusted: the machine's authorities and httpx's own, or SSL_CERT_FILE's, SSL_CERT_DIR's.

    Takes 20 ms. Raises ClientError when what one of the variables names cannot be read.
    """
    try:
        context = httpx.create_ssl_context()
        if not os.environ.get("SSL_CERT_FILE") and not os.environ.get("SSL_CERT_DIR"):
            context.load_default_certs()
    except (OSError, ssl.SSLError) as error:
        reason = getattr(error, "strerror", None) or error
        variable = "SSL_CERT_FILE" if os.environ.get("SSL_CERT_FILE") else "SSL_CERT_DIR"
        raise ClientError(
            f"{variable}: no certificates can be read from {os.environ.get(variable)}: {reason}"
        ) from None
    return context


def no_tls(url: str, error: ssl.SSLError) -> str:
    """What is wrong where something answers, but not as TLS must, and what to do about it."""
    who = _who(url)
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = ": let SSL_CERT_FILE name its authority" if error.verify_code in _ISSUER_UNKNOWN else ""
        return f"the certificate of {who} is not trusted ({error.verify_message}){hint}"
    if error.reason in _NOT_TLS:
        return f"{who} does not speak TLS: try http:"
    return f"no TLS with {who}: {(error.reason or 'the handshake failed').replace('_', ' ').lower()}"


def _who(url: str) -> str:
    """Who may have answered."""
    if not url.startswith("https:"):
        return f"the proxy before {url}"
    return f"the proxy or {url}" if _by_proxy(url) else url


def is_loopback(url: str) -> bool:
    """Whether this address is of this very machine; no proxy leads there."""
    host = httpx.URL(url).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _by_proxy(url: str) -> bool:
    """Whether the environment names a proxy for this address."""
    if is_loopback(url):
        return False
    scheme, _, rest = url.partition("://")
    proxies = urllib.request.getproxies()
    host = rest.partition("/")[0]
    return bool({scheme, "all"} & proxies.keys()) and not urllib.request.proxy_bypass(host)
