"""What a daemon serves in place of a row that is no event: a valid object whose hash cannot be right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from audit_stream.canonical import canonical_bytes
from tests.tui.fake_log import make_log
from tests.tui.test_main_screen import console

STAND_INS: dict[str, dict[str, Any]] = {
    "empty": {"timestamp": "", "kind": "", "source": "", "payload": {}, "prev_hash": "", "hash": ""},
    "zeros": {
        "timestamp": "1970-01-01T00:00:00.000+00:00",
        "kind": "damaged",
        "source": "audit-stream",
        "payload": {"damaged": "not canonical: \x1b[31m\n\u202e"},
        "prev_hash": "0" * 64,
        "hash": "0" * 64,
    },
    "the row's own hash": {
        "timestamp": "not a time",
        "kind": "k" * 300,
        "source": "\x00",
        "payload": {"bytes": "ff" * 1_000},
        "prev_hash": "no hash",
        "hash": json.loads(make_log(20).raw[9])["hash"],
    },
}


def stand_in(event_id: int, fields: dict[str, Any]) -> bytes:
    canonical = canonical_bytes({"event_id": event_id, **fields})
    return canonical[:-1] + b',"hash":' + json.dumps(fields["hash"]).encode() + b"}"


@pytest.mark.parametrize("name", STAND_INS)
async def test_the_stand_in_for_a_damaged_row_is_broken_on_every_screen(tmp_path: Path, name: str) -> None:
    log = make_log(20)
    log.raw[9] = stand_in(10, STAND_INS[name])
    async with console(log, tmp_path, verify_every_s=0.2) as seen:
        await seen.until(lambda: "BROKEN at #10" in seen.app.badge_text)
        assert seen.ids == list(range(1, 21))
        (line,) = [line for line in seen.lines if line.lstrip("✗│┊ ").startswith("10 ")]
        assert line.startswith("✗")
        assert "hash mismatch at event #10" in line
        seen.main.table.go_to(10)
        await seen.keys("enter")
        await seen.until(lambda: type(seen.app.screen).__name__ == "DetailScreen")
        for key in ("1", "2", "3"):
            await seen.keys(key)
        assert any("NOT equal" in drawn or "not the form that was hashed" in drawn for drawn in seen.drawn)
        await seen.keys("escape", "b")
        await seen.until(lambda: type(seen.app.screen).__name__ == "IntegrityScreen")
        await seen.until(lambda: any("Event #10" in drawn for drawn in seen.drawn))
        assert "BROKEN" in seen.drawn[0]


@pytest.mark.parametrize("name", STAND_INS)
async def test_a_row_that_is_damaged_while_one_looks_is_broken_and_what_comes_after_goes_on(
    tmp_path: Path, name: str
) -> None:
    log = make_log(20)
    async with console(log, tmp_path, verify_every_s=0.2) as seen:
        await seen.until(lambda: "VERIFIED" in seen.app.badge_text)
        log.go_away()
        await seen.until(lambda: "retrying" in seen.status)
        log.raw[19] = stand_in(20, STAND_INS[name])  # where the console is to go on
        log.append()
        log.come_back()
        await seen.until(lambda: "●" in seen.status and seen.ids[-1] == 21)
        await seen.until(lambda: seen.app.badge_text.startswith(("BROKEN", "REWRITTEN")))
