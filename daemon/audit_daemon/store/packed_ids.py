"""The ids of a long answer, in a hundredth of what a list of them takes, while its reader takes its time.

A hundred thousand Python integers are 4 MB for each reader; their differences, compressed, are under 150 KB and mostly
under 50.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Sequence
from itertools import accumulate
from operator import sub
from typing import overload

__all__ = ["BLOCK_IDS", "PackedIds", "packed"]

BLOCK_IDS = 1_000
"""Ids that are unpacked at a time, and what is left unpacked: 36 KB."""


def packed(ids: Sequence[int]) -> Sequence[int]:
    """The same ids; a range stays one, and few stay as they are. Takes 10 ms for a hundred thousand."""
    return ids if isinstance(ids, range) or len(ids) <= BLOCK_IDS else PackedIds(ids)


class PackedIds(Sequence[int]):
    """Ids in compressed blocks, of which one at a time is unpacked."""

    def __init__(self, ids: Sequence[int]) -> None:
        self._count = len(ids)
        self._blocks = [_packed(ids[start : start + BLOCK_IDS]) for start in range(0, len(ids), BLOCK_IDS)]

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[int]: ...
    def __getitem__(self, index: int | slice) -> int | Sequence[int]:
        """One id, or some that follow one another as a list."""
        if isinstance(index, slice):
            start, stop, step = index.indices(self._count)
            assert step == 1, "ids are read in their order"
            first = start // BLOCK_IDS
            blocks = self._blocks[first : -(-stop // BLOCK_IDS)] if start < stop else []
            ids = [event_id for block in blocks for event_id in _unpacked(block)]
            return ids[start - first * BLOCK_IDS : stop - first * BLOCK_IDS]
        place = range(self._count)[index]
        return _unpacked(self._blocks[place // BLOCK_IDS])[place % BLOCK_IDS]

    @property
    def size_bytes(self) -> int:
        """What they take."""
        return sum(map(len, self._blocks))


def _packed(ids: Sequence[int]) -> bytes:
    raw = array("q", [ids[0], *map(sub, ids[1:], ids)]).tobytes()
    # All first bytes, then all second ones: most of them are the same and compress to nothing.
    return zlib.compress(b"".join(raw[place::_ID_BYTES] for place in range(_ID_BYTES)), 1)


def _unpacked(block: bytes) -> list[int]:
    planes = zlib.decompress(block)
    count = len(planes) // _ID_BYTES
    raw = bytearray(len(planes))
    for place in range(_ID_BYTES):
        raw[place::_ID_BYTES] = planes[place * count : (place + 1) * count]
    return list(accumulate(array("q", bytes(raw))))


_ID_BYTES = 8
