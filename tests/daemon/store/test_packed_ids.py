"""Ids of long answers come out of their packed form as they were."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from audit_daemon.store.packed_ids import BLOCK_IDS, PackedIds, packed


@settings(max_examples=30, deadline=None)
@given(
    start=st.integers(1, 2**62),
    count=st.sampled_from([1, 2, BLOCK_IDS // 4, BLOCK_IDS - 1, BLOCK_IDS, BLOCK_IDS + 1, 3 * BLOCK_IDS]),
    gap=st.sampled_from([1, 2, 300, 10**6]),
    newest_first=st.booleans(),
    seed=st.integers(),
)
def test_ids_come_out_as_they_went_in(start: int, count: int, gap: int, newest_first: bool, seed: int) -> None:
    chance = random.Random(seed)
    ids = [start]
    while len(ids) < count:
        ids.append(ids[-1] + chance.randint(1, gap))
    ids = ids[::-1] if newest_first else ids
    again = PackedIds(ids)
    assert list(again) == ids
    assert (len(again), again[0], again[-1]) == (count, ids[0], ids[-1])
    for _ in range(20):
        begin, end = chance.randint(0, count + 5), chance.randint(0, count + 5)
        assert list(again[begin:end]) == ids[begin:end]


def test_a_range_is_not_unrolled() -> None:
    assert packed(range(1, 100_001)) == range(1, 100_001)


def test_a_hundred_thousand_ids_among_ten_million_take_little() -> None:
    ids = packed(sorted(random.Random(1).sample(range(10_000_000), 100_000)))
    assert isinstance(ids, PackedIds)
    assert ids.size_bytes < 130_000
