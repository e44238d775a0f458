from __future__ import annotations

import json
from typing import Any

from audit_stream.chain import GENESIS_HASH
from audit_stream.client import RawEvent
from audit_stream.kinds import DEFAULT_KINDS
from audit_tui.model.breakage import explain
from audit_tui.model.event_diff import FieldPair
from audit_tui.model.rows import Row, read_row
from tests.tui.fake_log import chained, tampered

DRAFTS: list[tuple[str, str, dict[str, Any]]] = [
    ("other", "cron", {"i": 1, "who": {"name": "ann", "roles": ["a", "b"]}}),
    ("other", "cron", {"i": 2, "who": {"name": "bob", "roles": ["a", "b"]}}),
    ("other", "cron", {"i": 3}),
]


def row_of(raw: bytes) -> Row:
    return read_row(RawEvent(raw), DEFAULT_KINDS)


def raws() -> list[bytes]:
    return list(chained(DRAFTS))


def edited(raw: bytes, **payload: Any) -> bytes:
    """The event with its payload changed and everything else, its hash too, left alone."""
    fields = json.loads(raw)
    return tampered(raw, payload={**fields["payload"], **payload})


def test_an_edited_payload_is_told_field_by_field_against_the_earlier_copy() -> None:
    one, two, three = raws()
    changed = edited(two, who={"name": "eve", "roles": ["a", "b", "root"]})
    breakage = explain(row_of(one), row_of(changed), row_of(three), row_of(two))
    assert breakage.differences == (
        FieldPair("payload.who.name", '"bob"', '"eve"'),
        FieldPair("payload.who.roles[2]", "(absent)", '"root"'),
    )


def test_an_edited_payload_no_longer_has_its_hash_and_the_next_event_still_links_to_that() -> None:
    one, two, three = raws()
    breakage = explain(row_of(one), row_of(edited(two, i=99)), row_of(three), None)
    assert not breakage.check.hash_fits
    assert breakage.check.computed_hash != breakage.check.carried_hash == row_of(two).hash
    assert breakage.check.link_holds
    assert breakage.next_prev == breakage.check.carried_hash
    assert "event #3 links to the hash carried:" in breakage.as_text()


def test_neither_the_hash_of_the_bytes_nor_the_one_they_carry_is_called_the_expected_one() -> None:
    one, two, three = raws()
    breakage = explain(row_of(one), row_of(edited(two, i=99)), row_of(three), None)
    lines = breakage.as_text().splitlines()
    assert lines[1:4] == [
        "hash: ✗ differs",
        f"  computed {breakage.check.computed_hash}",
        f"  carried  {row_of(two).hash}",
    ]
    assert lines[5:7] == [f"  expected {row_of(one).hash}", f"  found    {row_of(one).hash}"]


def test_a_link_to_the_bytes_that_there_are_now_is_told_as_one() -> None:
    one, two, three = raws()
    changed = row_of(edited(two, i=99))
    computed = explain(None, changed, None, None).check.computed_hash
    after = row_of(tampered(three, prev_hash=computed))
    assert "event #3 links to the hash computed:" in explain(row_of(one), changed, after, None).as_text()


def test_a_link_to_another_event_shows_both_hashes() -> None:
    one, two, _ = raws()
    other = next(iter(chained([("other", "cron", {"i": "x"})])))
    breakage = explain(row_of(other), row_of(two), None, None)
    assert breakage.check.hash_fits
    assert breakage.check.link_holds is False
    assert (breakage.check.expected_prev, breakage.check.carried_prev) == (row_of(other).hash, row_of(one).hash)
    assert breakage.check.summary == "it does not link to the event before"


def test_the_first_event_is_expected_to_link_to_zeros() -> None:
    assert explain(None, row_of(raws()[0]), None, None).check.expected_prev == GENESIS_HASH


def test_an_event_whose_neighbour_is_unknown_is_not_accused_of_its_link() -> None:
    one, _, three = raws()
    breakage = explain(row_of(one), row_of(three), row_of(one), None)
    assert breakage.check.link_holds is None
    assert breakage.next_prev is None
    assert "(event #2 is not known)" in breakage.as_text()


def test_an_event_that_holds_is_said_to_hold() -> None:
    one, two, three = raws()
    assert explain(row_of(one), row_of(two), row_of(three), None).check.summary == "as received now it holds"


def test_a_value_of_another_type_is_a_difference_though_python_finds_them_equal() -> None:
    _, two, _ = raws()
    (difference,) = explain(None, row_of(edited(two, i=2.0)), None, row_of(two)).differences
    assert (difference.one, difference.other) == ("2", "2.0")


def test_an_event_recomputed_with_another_hash_differs_in_its_hash_as_well() -> None:
    _, two, _ = raws()
    other = list(chained([DRAFTS[0], ("other", "cron", {"i": 2})]))[1]
    fields = {difference.field for difference in explain(None, row_of(other), None, row_of(two)).differences}
    assert fields == {"hash", "payload.who"}


def test_a_copy_of_another_event_is_not_compared_with() -> None:
    one, two, _ = raws()
    breakage = explain(None, row_of(two), None, row_of(one))
    assert breakage.earlier_hash is None
    assert "no earlier copy" in breakage.as_text()


def test_what_is_not_in_canonical_form_has_no_hash_to_compare() -> None:
    _, two, _ = raws()
    spaced = json.dumps(json.loads(two), indent=1).encode()
    breakage = explain(None, row_of(spaced), None, None)
    assert breakage.check.computed_hash is None
    assert not breakage.check.hash_fits
    assert "not in canonical form" in breakage.as_text()


def test_nothing_that_came_from_outside_reaches_a_ticket_raw() -> None:
    _, two, _ = raws()
    evil = edited(two, **{"\x1b[2J": "\u202e\x07" + "x" * 10_000, "i": 3})
    text = explain(None, row_of(evil), None, row_of(two)).as_text()
    assert all(line.isprintable() for line in text.splitlines())
    assert max(len(line) for line in text.splitlines()) < 600


def test_the_differences_told_are_bounded() -> None:
    _, two, _ = raws()
    evil = edited(two, **{f"k{i}": i for i in range(1000)})
    assert len(explain(None, row_of(evil), None, row_of(two)).differences) == 50


def test_the_text_fits_a_terminal_of_80_columns() -> None:
    one, two, three = raws()
    text = explain(row_of(one), row_of(edited(two, i=99)), row_of(three), row_of(two)).as_text()
    assert max(len(line) for line in text.splitlines()) <= 77
