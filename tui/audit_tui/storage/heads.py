"""The heads that this console has verified, kept on disk: what a rewritten or shortened history cannot explain away.

One file a daemon in `heads/`, named by the SHA-256 of its address. Consoles that watch the same daemon add to one
another's memory. A history that a person has accepted in place of another begins a new generation; a console that
still holds the old one drops it when it meets the newer generation on disk, whatever any clock says.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import msgspec

from audit_stream.chain import Head
from audit_tui.storage.json_file import JsonFile, storable

__all__ = ["MAX_HEADS", "Accepted", "HeadMemory", "RememberedHead", "thinned"]

MAX_HEADS = 64
"""Remembered of one daemon: the last of each hour and day, and further back ever fewer."""
_MAX_ACCEPTED = 32
_MAX_BYTES = 1 << 20
_WRITE_EVERY_MS = 5_000
_SEEN_EVERY_MS = 60_000
"""How old `last_seen_ms` on disk may get: a daemon that is idle costs a write a minute."""
_HOUR_MS = 3_600_000
_HOURS = 24
_DAYS = 24

_EventId = Annotated[int, msgspec.Meta(ge=1)]


class RememberedHead(msgspec.Struct, frozen=True, kw_only=True):
    """A head that was verified, and between which times (milliseconds since 1970) it was the newest."""

    event_id: _EventId
    hash: str
    first_seen_ms: int
    last_seen_ms: int


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """A person accepted a history that does not continue the remembered one: ending in `head`, `at_ms`.

    `given_up` is the newest head that was remembered until then.
    """

    at_ms: int
    event_id: int
    hash: str
    given_up: RememberedHead | None = None


class _Memory(msgspec.Struct, frozen=True, kw_only=True):
    """What the file holds."""

    url: str
    generation: int = 0
    heads: tuple[RememberedHead, ...] = ()
    accepted: tuple[Accepted, ...] = ()


class HeadMemory:
    """Heads by daemon. `url` is the log's as `Log.url` has it, so an address in its one spelling, or a path.

    `remember` and `due` only touch memory and may be called on the event loop. Everything else may read or write a
    file: call it in a thread. What goes wrong with files is said in `problems`, and the memory goes on without them.
    """

    def __init__(self, directory: Path) -> None:
        self.problems: list[str] = []
        self._directory = directory / "heads"
        self._lock = threading.Lock()
        self._known: dict[str, _Memory] = {}
        self._loaded: set[str] = set()
        self._changed: set[str] = set()
        self._written_ms: int | None = None

    def remember(self, url: str, head: Head, now_ms: int) -> None:
        """Note the head of a history that this console has just found to hold. An empty history leaves no trace."""
        if head.event_id < 1:
            return
        url = storable(url)
        with self._lock:
            memory = self._known.get(url, _Memory(url=url))
            newest = memory.heads[-1] if memory.heads else None
            same = newest is not None and (newest.event_id, newest.hash) == (head.event_id, head.hash)
            if newest is not None and same and 0 <= now_ms - newest.last_seen_ms < _SEEN_EVERY_MS:
                return
            seen = RememberedHead(event_id=head.event_id, hash=head.hash, first_seen_ms=now_ms, last_seen_ms=now_ms)
            self._known[url] = msgspec.structs.replace(memory, heads=_united(memory.heads, (seen,)))
            self._changed.add(url)

    def heads(self, url: str) -> tuple[RememberedHead, ...]:
        """What is remembered, the newest last. Reads the file the first time."""
        return self._memory(url).heads

    def accepted(self, url: str) -> tuple[Accepted, ...]:
        """What people have accepted, the newest last. Reads the file the first time."""
        return self._memory(url).accepted

    def accept(self, url: str, head: Head, now_ms: int) -> None:
        """A person takes this history for the true one from now on: forget the other heads, but keep that it was so.

        On disk on return, unless `problems` says otherwise. The head of an empty history (event 0) is allowed.
        """
        before = self._memory(url)
        url = before.url
        with self._lock:
            before = self._known[url]
            seen = RememberedHead(
                event_id=max(head.event_id, 1), hash=head.hash, first_seen_ms=now_ms, last_seen_ms=now_ms
            )
            others = (each for each in before.heads if (each.event_id, each.hash) != (head.event_id, head.hash))
            given_up = max(others, key=lambda each: each.event_id, default=None)
            record = Accepted(at_ms=now_ms, event_id=head.event_id, hash=head.hash, given_up=given_up)
            self._known[url] = _Memory(
                url=url,
                generation=before.generation + 1,
                heads=(seen,) if head.event_id else (),
                accepted=_acceptances((*before.accepted, record)),
            )
            self._changed.add(url)
        self._save(url)

    def due(self, now_ms: int) -> bool:
        """Whether `save_if_due` would write."""
        with self._lock:
            since_ms = _WRITE_EVERY_MS if self._written_ms is None else abs(now_ms - self._written_ms)
            return bool(self._changed) and since_ms >= _WRITE_EVERY_MS

    def save_if_due(self, now_ms: int) -> None:
        """Write what has changed, at most every five seconds, and take in what other consoles wrote meanwhile."""
        if self.due(now_ms):
            self._written_ms = now_ms
            self.flush()

    def flush(self) -> None:
        """Write what has changed, now: when the console closes."""
        with self._lock:
            changed = sorted(self._changed)
        for url in changed:
            self._save(url)

    def _memory(self, url: str) -> _Memory:
        url = storable(url)
        with self._lock:
            if url in self._loaded:
                return self._known[url]
        found = self._record(url).read() or _Memory(url=url)
        return self._take_in(url, found)

    def _save(self, url: str) -> None:
        with self._lock:
            mine = self._known[url]
            self._changed.discard(url)
        written = self._record(url).change(lambda found: _merged(found or _Memory(url=url), mine))
        if written is None:
            with self._lock:
                self._changed.add(url)
        else:
            self._take_in(url, written)

    def _take_in(self, url: str, found: _Memory) -> _Memory:
        with self._lock:
            self._known[url] = _merged(found, self._known.get(url, found))
            self._loaded.add(url)
            return self._known[url]

    def _record(self, url: str) -> JsonFile[_Memory]:
        return JsonFile(
            self._directory / f"{hashlib.sha256(url.encode()).hexdigest()}.json",
            _Memory,
            what=f"what this console remembers of {url}",
            max_bytes=_MAX_BYTES,
            problems=self.problems,
            fits=lambda found: found.url == url,
        )


def thinned(heads: Iterable[RememberedHead]) -> tuple[RememberedHead, ...]:
    """At most MAX_HEADS of them, in their order: the last of each hour and day, and of what is older ever fewer.

    The newest and the oldest always stay. Thinning again changes nothing.
    """
    ordered = sorted(heads, key=_order)
    if len(ordered) <= MAX_HEADS:
        return tuple(ordered)
    kept: set[RememberedHead] = set()
    for span_ms, count in ((_HOUR_MS, _HOURS), (24 * _HOUR_MS, _DAYS)):
        last = {head.last_seen_ms // span_ms: head for head in ordered}
        kept.update(last[span] for span in sorted(last)[-count:])
    kept.add(ordered[-1])
    farthest: dict[int, RememberedHead] = {}
    for head in ordered:  # of each power of two of events between a head and the newest, the farthest
        farthest.setdefault((ordered[-1].event_id - head.event_id).bit_length(), head)
    for power in sorted(farthest, reverse=True):
        if len(kept) < MAX_HEADS:
            kept.add(farthest[power])
    return tuple(sorted(kept, key=_order))


def _order(head: RememberedHead) -> tuple[int, int, str]:
    return head.event_id, head.last_seen_ms, head.hash


def _merged(found: _Memory, mine: _Memory) -> _Memory:
    """What both know; heads of the older generation have been given up."""
    newer = max(found, mine, key=lambda memory: memory.generation)
    heads = _united(found.heads, mine.heads) if found.generation == mine.generation else newer.heads
    return _Memory(
        url=newer.url,
        generation=newer.generation,
        heads=heads,
        accepted=_acceptances((*found.accepted, *mine.accepted)),
    )


def _united(*several: tuple[RememberedHead, ...]) -> tuple[RememberedHead, ...]:
    by_head: dict[tuple[int, str], RememberedHead] = {}
    for head in (head for heads in several for head in heads):
        same = by_head.get((head.event_id, head.hash), head)
        by_head[head.event_id, head.hash] = RememberedHead(
            event_id=head.event_id,
            hash=head.hash,
            first_seen_ms=min(head.first_seen_ms, same.first_seen_ms),
            last_seen_ms=max(head.last_seen_ms, same.last_seen_ms),
        )
    return thinned(by_head.values())


def _acceptances(records: Iterable[Accepted]) -> tuple[Accepted, ...]:
    ordered = sorted(set(records), key=lambda record: (record.at_ms, record.event_id, record.hash))
    return tuple(ordered[-_MAX_ACCEPTED:])
