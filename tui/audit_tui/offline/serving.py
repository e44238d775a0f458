"""An event of a file in the form in which a daemon would serve it."""

from __future__ import annotations

import json

from audit_stream.canonical import splice_hash

__all__ = ["served"]


def served(canonical: bytes, hash_: str) -> bytes:
    """The event with the hash that it claims, whatever somebody has put there: JSON, as long as `canonical` is.

    A hash that is none is escaped, so that the event can be read, and is found broken.
    """
    storable = hash_.encode("utf-8", "backslashreplace").decode()  # half a character cannot be read again
    return splice_hash(canonical, json.dumps(storable)[1:-1])
