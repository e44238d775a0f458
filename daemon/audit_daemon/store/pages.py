"""The events that lie in a database file's pages, whatever still leads to them.

A checkpoint that is interrupted for good, because the log that it copies from was cut, leaves a file in which some
pages are old and some new, so that SQLite finds no way through it. But events are only ever added at the end: a page of
rows that was full stays as it is, and they can be read from it (https://www.sqlite.org/fileformat2.html, 1.5 and 1.6).
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from audit_stream.canonical import hash_of

__all__ = ["events_in_pages"]

_TABLE_LEAF = 0x0D
_SIZES = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)
"""Of the first serial types, in bytes; from 12 on they are blobs and texts."""
_COLUMNS = 6  # of `events`; the first, its number, is the row's own
_HASH_TYPE = 13 + 2 * 64


def events_in_pages(descriptor: int) -> Iterator[tuple[int, bytes]]:
    """Number and canonical bytes of every event that lies in a page and has its hash beside it, in order."""
    pages = _Pages(descriptor)
    last_id = 0
    for _, number in sorted(pages.leaves()):
        for event_id, canonical in pages.events(number):
            if event_id > last_id:  # or it lies in two pages, of which one is older
                last_id = event_id
                yield event_id, canonical


class _Pages:
    """A file's pages. What is in none of the forms that are looked for is passed by."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        header = os.pread(descriptor, 100, 0).ljust(100, b"\0")
        size = int.from_bytes(header[16:18])
        self._size = 65_536 if size == 1 else size
        self._usable = self._size - header[20]
        self._count = os.fstat(descriptor).st_size // self._size if self._size else 0

    def leaves(self) -> Iterator[tuple[int, int]]:
        """Of each page that has rows of a table: the first row's number, and its own."""
        for number in range(1, self._count + 1):
            page = self._page(number)
            for row_id, _ in self._cells(page, 100 if number == 1 else 0):
                yield row_id, number
                break

    def events(self, number: int) -> Iterator[tuple[int, bytes]]:
        """Numbers and canonical bytes of the events that a page has, in order."""
        page = self._page(number)
        for row_id, at in self._cells(page, 100 if number == 1 else 0):
            canonical = _canonical(self._record(page, at))
            if canonical is not None:
                yield row_id, canonical

    def _cells(self, page: bytes, start: int) -> Iterator[tuple[int, int]]:
        """Number and place of each row."""
        if len(page) < self._size or page[start] != _TABLE_LEAF:
            return
        cells = int.from_bytes(page[start + 3 : start + 5])
        for pointer in range(start + 8, min(start + 8 + 2 * cells, self._usable - 1), 2):
            at = int.from_bytes(page[pointer : pointer + 2])
            _, after = _varint(page, at)
            yield _varint(page, after)[0], at

    def _page(self, number: int) -> bytes:
        return os.pread(self._descriptor, self._size, (number - 1) * self._size)

    def _record(self, page: bytes, at: int) -> bytes:
        """A row's content, with what lies in overflow pages."""
        size, at = _varint(page, at)
        _, at = _varint(page, at)
        most, least = self._usable - 35, (self._usable - 12) * 32 // 255 - 23
        if size <= most:
            return page[at : at + size]
        local = least + (size - least) % (self._usable - 4)
        local = local if local <= most else least
        record = bytearray(page[at : at + local])
        overflow = int.from_bytes(page[at + local : at + local + 4])
        while overflow and len(record) < size:
            rest = self._page(overflow)[: self._usable]
            record += rest[4:]
            overflow = int.from_bytes(rest[:4])
        return bytes(record[:size])


def _canonical(record: bytes) -> bytes | None:
    """What the last column of `events` holds, if this is a row of it and the hash fits."""
    header_bytes, at = _varint(record, 0)
    types = []
    while at < min(header_bytes, len(record)):
        value, at = _varint(record, at)
        types.append(value)
    if len(types) != _COLUMNS or types[4] != _HASH_TYPE or types[5] < 12:
        return None
    start = header_bytes + sum(map(_size_of, types[:4]))
    canonical = record[start + 64 : start + 64 + _size_of(types[5])]
    return canonical if hash_of(canonical).encode() == record[start : start + 64] else None


def _size_of(serial_type: int) -> int:
    return _SIZES[serial_type] if serial_type < len(_SIZES) else max(0, (serial_type - 12) // 2)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of one to nine bytes, and where the next begins. Behind the data's end there are zeros."""
    value = 0
    for count in range(9):
        byte = data[at + count] if at + count < len(data) else 0
        if count == 8:
            return value << 8 | byte, at + 9
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + count + 1
    raise AssertionError("nine bytes end it")
