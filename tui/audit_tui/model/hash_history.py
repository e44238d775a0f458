"""The hashes of events that are no longer in memory, so that a later claim about them can still be compared."""

from __future__ import annotations

__all__ = ["MAX_HASHES", "HashHistory"]

MAX_HASHES = 65_536
"""2 MB; at 5,000 events a second the 13 s before what the ring holds, and verifying a million events takes two."""

_DIGEST_BYTES = 32


class HashHistory:
    """The last hashes of an unbroken run of ids, 32 bytes each; another run begins anew."""

    def __init__(self, *, max_hashes: int = MAX_HASHES) -> None:
        self._digests = bytearray()
        self._max_hashes = max_hashes
        self._first = 0
        self._next = 0

    def add(self, event_id: int, hash_: str) -> None:
        """Note the hash of the next event. A hash that is none, as of a damaged event, ends the run."""
        try:
            digest = bytes.fromhex(hash_)
        except ValueError:
            digest = b""
        if event_id != self._next or len(digest) != _DIGEST_BYTES:
            self.clear()
            self._first = event_id
        if len(digest) != _DIGEST_BYTES:
            return
        place = (event_id % self._max_hashes) * _DIGEST_BYTES
        missing = place + _DIGEST_BYTES - len(self._digests)
        if missing > 0:
            self._digests.extend(bytes(missing))
        self._digests[place : place + _DIGEST_BYTES] = digest
        self._next = event_id + 1
        self._first = max(self._first, self._next - self._max_hashes)

    @property
    def ids(self) -> range:
        """Whose hashes are here."""
        return range(self._first, self._next)

    def find(self, event_id: int) -> str | None:
        """The hash, 64 hex characters; None when it is not here."""
        if not self._first <= event_id < self._next:
            return None
        place = (event_id % self._max_hashes) * _DIGEST_BYTES
        return self._digests[place : place + _DIGEST_BYTES].hex()

    def clear(self) -> None:
        """Forget all of them."""
        self._first = self._next = 0
