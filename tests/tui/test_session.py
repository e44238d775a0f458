"""A session with a daemon in memory: what it shows, resumes, checks and says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest

from audit_stream.chain import Head, Verdict
from audit_stream.client import EVERYTHING, Live, RawEvent, Selection, Stats, Tailed
from audit_stream.errors import ClientError
from audit_stream.kinds import DEFAULT_KINDS
from audit_tui.model.badge import State
from audit_tui.model.connection import ConnectionState
from audit_tui.model.rows import Check, Gap, Row, read_row
from audit_tui.session import FIRST_PAGE, Session
from tests.tui.fake_log import FakeLog, chained, make_log, tampered

DEADLINE_S = 20


@asynccontextmanager
async def running(session: Session) -> AsyncIterator[Callable[[Callable[[], bool]], Awaitable[None]]]:
    """The session runs and is drained; gives a way to wait for a condition."""
    run = asyncio.create_task(session.run())

    async def until(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                assert not run.done(), run
                session.drain()
                await asyncio.sleep(0.001)

    try:
        yield until
    finally:
        run.cancel()
        await asyncio.wait([run])


def state(session: Session) -> State:
    return session.integrity.badge(asyncio.get_running_loop().time()).state


def shown_ids(session: Session) -> list[int]:
    return [item.event_id for item in session.view.items if isinstance(item, Row)]


async def test_the_end_of_the_log_is_there_at_once_and_is_verified() -> None:
    session = Session(make_log(1000))
    async with running(session) as until:
        await until(lambda: state(session) is State.VERIFIED)
        assert shown_ids(session) == list(range(1000 - FIRST_PAGE + 1, 1001))
        assert session.connection.state is ConnectionState.LIVE


async def test_events_come_in_as_they_are_appended_linked() -> None:
    log = make_log(10)
    session = Session(log)
    async with running(session) as until:
        await until(lambda: session.connection.state is ConnectionState.LIVE)
        for _ in range(25):
            log.append()
        await until(lambda: len(session.ring) == 35)
        assert {row.check for row in session.ring} == {Check.LINKED}


async def test_a_daemon_that_is_away_is_a_state_and_nothing_is_missing_afterwards() -> None:
    log = make_log(10)
    session = Session(log)
    async with running(session) as until:
        await until(lambda: session.connection.state is ConnectionState.LIVE)
        log.go_away()
        await until(lambda: session.connection.state is ConnectionState.RETRYING)
        assert "no daemon answers" in session.connection.reason
        assert shown_ids(session) == list(range(1, 11))
        for _ in range(5):
            log.append()
        log.come_back()
        await until(lambda: session.connection.state is ConnectionState.LIVE and len(session.ring) == 15)
        assert shown_ids(session) == list(range(1, 16))
        assert session.ring.linked_from == 1


async def test_a_verdict_that_the_daemon_took_away_with_it_is_asked_for_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail() -> Verdict:
        raise ClientError("the connection broke off", status=None)

    log = make_log(10)
    session = Session(log, verify_every_s=3_600)
    async with running(session) as until:
        with monkeypatch.context() as patch:
            patch.setattr(log, "verify", fail)
            await until(lambda: bool(session.integrity.verdicts.failure))
            log.go_away()
            await until(lambda: session.connection.state is ConnectionState.RETRYING)
        log.come_back()
        await until(lambda: state(session) is State.VERIFIED)


async def test_a_daemon_that_is_away_at_the_start_is_waited_for() -> None:
    log = make_log(3)
    log.go_away()
    session = Session(log)
    async with running(session) as until:
        await until(lambda: session.connection.state is ConnectionState.RETRYING)
        log.come_back()
        await until(lambda: shown_ids(session) == [1, 2, 3])


async def test_a_refusal_says_why_and_is_tried_again() -> None:
    log = make_log(3)
    log.fail_with(ClientError("only loopback peers are answered", status=401))
    session = Session(log)
    async with running(session) as until:
        await until(lambda: session.connection.state is ConnectionState.REFUSED)
        assert "only loopback peers" in session.connection.text(0)


async def test_an_edited_event_turns_the_badge_red_and_is_named() -> None:
    log = make_log(50)
    session = Session(log, verify_every_s=0.1)
    async with running(session) as until:
        await until(lambda: state(session) is State.VERIFIED)
        log.raw[41] = tampered(log.raw[41], source="mallory")
        await until(lambda: state(session) is State.BROKEN)
        badge = session.integrity.badge(asyncio.get_running_loop().time())
        assert badge.event_id == 42
        assert "#42" in badge.text


async def test_a_broken_event_in_the_stream_is_found_though_the_daemon_says_valid() -> None:
    log = make_log(10)
    session = Session(log)
    async with running(session) as until:
        await until(lambda: state(session) is State.VERIFIED)
        log.append()
        log.raw[-1] = tampered(log.raw[-1], source="mallory")
        log.verdict = Verdict(valid=True, checked=11, first_break_at=None, reason=None, head=log.head, duration_ms=1)
        await until(lambda: state(session) is State.BROKEN)
        session.verify_now()
        await until(lambda: bool(session.integrity.badge(asyncio.get_running_loop().time()).disagreement))


def recomputed(count: int) -> list[bytes]:
    other = FakeLog([])
    for number in range(count):
        other.append(payload={"forged": number})
    return other.raw


@pytest.mark.parametrize("replacement", [make_log(30).raw, recomputed(30), recomputed(50), recomputed(60)])
async def test_a_history_that_was_shortened_or_recomputed_while_away_is_rewritten_though_it_is_valid(
    replacement: list[bytes],
) -> None:
    log = make_log(50)
    session = Session(log)
    async with running(session) as until:
        await until(lambda: state(session) is State.VERIFIED)
        log.go_away()
        await until(lambda: session.connection.state is ConnectionState.RETRYING)
        log.replace(replacement)
        log.come_back()
        await until(lambda: state(session) is State.REWRITTEN)
        await until(lambda: shown_ids(session) == list(range(1, len(replacement) + 1)))


async def test_so_much_that_came_meanwhile_that_it_goes_on_at_the_live_end() -> None:
    log = make_log(10)
    session = Session(log, most_behind=400)
    async with running(session) as until:
        await until(lambda: session.connection.state is ConnectionState.LIVE)
        log.go_away()
        await until(lambda: session.connection.state is ConnectionState.RETRYING)
        log.replace([*log.raw, *make_log(1000).raw[10:]])
        log.come_back()
        await until(lambda: session.connection.state is ConnectionState.LIVE and session.ring.head.event_id == 1000)
        (gap,) = [item for item in session.view.items if isinstance(item, Gap)]
        assert (gap.first, gap.last) == (11, 1000 - FIRST_PAGE)
        assert state(session) is not State.REWRITTEN
        assert "came meanwhile" in session.notices[-1]
        await session.pages.load_gap(gap)
        await until(lambda: shown_ids(session)[:510] == list(range(1, 511)))


async def test_a_head_remembered_from_an_earlier_session_is_compared() -> None:
    session = Session(make_log(50), known_heads=(Head(20, "f" * 64),))
    async with running(session) as until:
        await until(lambda: state(session) is State.REWRITTEN)


async def test_a_remembered_head_that_is_there_changes_nothing_and_the_newest_is_remembered() -> None:
    log = make_log(50)
    remembered: list[Head] = []
    session = Session(log, known_heads=(log.head,), remember=remembered.append)
    async with running(session) as until:
        await until(lambda: state(session) is State.VERIFIED and bool(remembered))
        assert remembered == [log.head]


async def test_older_pages_reach_event_1_and_are_linked() -> None:
    session = Session(make_log(2000))
    async with running(session) as until:
        await until(lambda: session.connection.state is ConnectionState.LIVE)
        session.view.pause()
        while not session.view.at_start:
            await session.pages.load_older()
        assert shown_ids(session) == list(range(1, 2001))
        assert {item.check for item in session.view.items if isinstance(item, Row)} == {Check.LINKED}


async def test_newer_pages_lead_back_to_the_live_end() -> None:
    session = Session(make_log(3000))
    async with running(session) as until:
        await until(lambda: session.connection.state is ConnectionState.LIVE)
        await session.pages.show_around(700)
        assert 700 in shown_ids(session)
        while not session.view.attached:
            await session.pages.load_newer()
        assert shown_ids(session)[-1] == 3000
        ids = shown_ids(session)
        assert ids == list(range(ids[0], 3001))


async def test_rubbish_from_the_daemon_is_said_and_does_not_end_anything() -> None:
    log = make_log(5)
    session = Session(log)
    async with running(session) as until:
        await until(lambda: session.connection.state is ConnectionState.LIVE)
        session._inbox.extend([type(log.append())(b'{"half": ')])
        await until(lambda: bool(session.notices))
        assert "no event" in session.notices[0]


async def test_a_log_without_events_is_live() -> None:
    log = FakeLog([])
    session = Session(log)
    async with running(session) as until:
        await until(lambda: session.connection.state is ConnectionState.LIVE)
        log.append()
        await until(lambda: shown_ids(session) == [1])
        await until(lambda: state(session) is State.VERIFIED)


async def test_a_damaged_event_is_said_and_the_rest_is_shown() -> None:
    log = make_log(50)
    log.raw[44] = b"\xff\x00\xfe"
    log.verdict = Verdict(valid=False, checked=44, first_break_at=45, reason="hash mismatch at event #45")
    session = Session(log)

    rows = [session._intake.read(served) async for served in _raw(log)]
    assert [row.event_id for row in rows if row is not None] == [*range(1, 45), *range(46, 51)]
    assert "no event" in session.notices[0]


async def _raw(log: FakeLog) -> AsyncIterator[RawEvent]:
    for raw in log.raw:
        yield RawEvent(raw)


async def test_a_broken_event_of_the_history_turns_the_badge_red_though_the_daemon_says_valid() -> None:
    log = make_log(2000)
    session = Session(log)
    async with running(session) as until:
        await until(lambda: state(session) is State.VERIFIED)
        log.raw[41] = tampered(log.raw[41], source="mallory")
        await session.pages.show_around(60)
        assert state(session) is State.BROKEN


async def test_an_event_that_is_read_again_with_another_content_and_a_fitting_hash_is_rewritten() -> None:
    log = make_log(100)
    session = Session(log)
    async with running(session) as until:
        await until(lambda: state(session) is State.VERIFIED)
        log.replace([*recomputed(100)])
        await session.pages.show_around(60)
        assert state(session) is State.REWRITTEN


async def test_remembered_heads_that_could_not_be_compared_are_compared_once_the_log_answers() -> None:
    class Refusing(FakeLog):
        refusals = 1

        async def event(self, event_id: int, /) -> RawEvent | None:
            if self.refusals:
                self.refusals -= 1
                raise ClientError("busy", status=503)
            return await super().event(event_id)

    log = Refusing(make_log(1000).raw)
    session = Session(log, known_heads=(Head(20, "f" * 64),))
    async with running(session) as until:
        await until(lambda: bool(session.integrity.uncompared) and session.integrity.last_verdict is not None)
        await until(lambda: state(session) is not State.VERIFYING)
        assert state(session) is State.UNVERIFIED
        await until(lambda: state(session) is State.REWRITTEN)


async def test_a_rewritten_history_that_a_person_accepts_is_the_one_to_compare_with() -> None:
    log = make_log(50)
    session = Session(log, verify_every_s=0.05)
    async with running(session) as until:
        await until(lambda: state(session) is State.VERIFIED)
        log.replace(recomputed(50))
        await until(lambda: state(session) is State.REWRITTEN)
        assert await session.accept_history(log.head) == log.head
        await until(lambda: state(session) is State.VERIFIED)
        assert session.ring.head == log.head


async def test_the_head_of_another_history_is_not_remembered_until_a_person_has_accepted_it() -> None:
    remembered: list[Head] = []
    log = make_log(20)
    session = Session(log, verify_every_s=0.05, remember=remembered.append)
    async with running(session) as until:
        await until(lambda: bool(remembered))
        old = list(remembered)
        log.replace(list(chained([("other", "cron", {"i": i}) for i in range(30)])))
        log.go_away()
        await until(lambda: session.connection.state is ConnectionState.RETRYING)
        log.come_back()
        await until(lambda: state(session) is State.REWRITTEN and session.ring.head == log.head)
        verdicts = log.requests.count("verify")
        await until(lambda: log.requests.count("verify") > verdicts + 2)
        # What it lost, and nothing of what is there instead.
        assert {head.event_id for head in remembered} == {20} == {head.event_id for head in old}
        await until(lambda: not session.cuts.unsettled and state(session) is State.REWRITTEN)
        assert session.integrity.acknowledge(session.clock.now_s())
        await until(lambda: log.requests.count("verify") > verdicts + 4)
        assert {head.event_id for head in remembered} == {20}
        await session.accept_history(log.head)
        await until(lambda: remembered[-1] == log.head)


async def test_of_remembered_heads_that_are_gone_the_earliest_is_named() -> None:
    log = make_log(40)
    there = read_row(RawEvent(log.raw[4]), DEFAULT_KINDS).hash
    heads = [Head(5, there), *(Head(event_id, "0" * 64) for event_id in (12, 20, 33))]
    session = Session(log, known_heads=tuple(heads))
    async with running(session) as until:
        await until(lambda: state(session) is State.REWRITTEN)
        await until(lambda: not session.integrity.uncompared)
        assert session.integrity.rewriting is not None
        assert session.integrity.rewriting.remembered.event_id == 12
        assert "at #12" in session.integrity.badge(session.clock.now_s()).text


class RepeatingLog(FakeLog):
    """Sends event 5 again as soon as it is followed, with other bytes and the hash that it had."""

    async def tail(self, selection: Selection = EVERYTHING, *, since_id: int | None = None) -> AsyncGenerator[Tailed]:
        async for item in super().tail(selection, since_id=since_id):
            yield item
            if isinstance(item, Live):
                yield RawEvent(tampered(self.raw[4], source="mallory"))


async def test_an_event_that_is_sent_again_with_other_bytes_is_broken() -> None:
    session = Session(RepeatingLog(make_log(20).raw))
    async with running(session) as until:
        await until(lambda: state(session) is State.BROKEN)
        assert session.integrity.badge(session.clock.now_s()).event_id == 5


async def test_a_remembered_head_is_not_believed_by_a_hash_that_its_bytes_do_not_have() -> None:
    log = make_log(400)
    head = Head(50, read_row(RawEvent(log.raw[49]), DEFAULT_KINDS).hash)
    log.raw[49] = tampered(log.raw[49], source="mallory")
    log.verdict = Verdict(valid=True, checked=400, first_break_at=None, reason=None, head=log.head, duration_ms=1)
    session = Session(log, known_heads=(head,))
    async with running(session) as until:
        await until(lambda: state(session) is State.BROKEN)
        assert session.integrity.badge(session.clock.now_s()).event_id == 50


class BoastingLog(FakeLog):
    """Says that it holds far more events than it gives."""

    async def stats(self) -> Stats:
        return msgspec.structs.replace(await super().stats(), count=60_000, last_event_id=60_000)


async def test_a_log_that_does_not_give_what_it_says_it_holds_is_retried_with_a_pause() -> None:
    session = Session(BoastingLog(make_log(20).raw), most_behind=1_000)
    async with running(session) as until:
        await until(lambda: session.connection.state is ConnectionState.RETRYING)
        assert "says that it holds event #60000, and does not give it" in session.connection.reason
        first = session.connection.retry_at_s - session.clock.now_s()
        await until(lambda: session.connection.retry_at_s - session.clock.now_s() > 2 * first)
