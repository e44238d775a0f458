"""What a console keeps and says of events that the log no longer holds, in a session and after a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from audit_stream.chain import GENESIS, Head
from audit_stream.client import RawEvent
from audit_stream.errors import ClientError
from audit_stream.kinds import DEFAULT_KINDS
from audit_tui.model.badge import State
from audit_tui.model.connection import ConnectionState
from audit_tui.model.cuts import Arrivals, Cut, Cuts, ranges
from audit_tui.model.rows import Row, read_row
from audit_tui.session import Session
from audit_tui.storage.heads import HeadMemory
from tests.tui.fake_log import FakeLog, chained, make_log, tampered
from tests.tui.test_session import running, state

Until = Callable[[Callable[[], bool]], Awaitable[None]]


def row_of(raw: bytes) -> Row:
    return read_row(RawEvent(raw), DEFAULT_KINDS)


def head_of(raw: bytes) -> Head:
    return Head(row_of(raw).event_id, row_of(raw).hash)


def cut_of(session: Session) -> Cut:
    (cut,) = session.cuts.all
    return cut


def branch(events: Sequence[bytes], count: int, mark: str) -> list[bytes]:
    """These events, and so many others after them."""
    after = head_of(events[-1]) if events else GENESIS
    return [*events, *chained([("other", "cron", {mark: n}) for n in range(count)], after=after)]


async def reconnected(log: FakeLog, session: Session, until: Until, events: list[bytes]) -> None:
    """The daemon goes away, and comes back with these events."""
    log.go_away()
    await until(lambda: session.connection.state is ConnectionState.RETRYING)
    log.replace(events)
    log.come_back()
    await until(lambda: session.connection.state is ConnectionState.LIVE)


async def polled(condition: Callable[[], bool]) -> None:
    """Wait for a condition, without draining."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)


# Found while the console runs


@pytest.mark.parametrize(
    ("kept", "appended", "replaced"),
    [(60, 0, ""), (60, 20, "#61 to #80"), (60, 40, "#61 to #100"), (60, 90, "#61 to #100")],
)
async def test_copies_of_what_is_gone_survive_the_reconnect_and_what_the_daemon_appends_under_their_ids(
    kept: int, appended: int, replaced: str
) -> None:
    log = make_log(100)
    whole = list(log.raw)
    session = Session(log)
    async with running(session) as until:
        await until(lambda: state(session) is State.VERIFIED)
        await reconnected(log, session, until, branch(whole[:kept], appended, "new"))
        await until(lambda: bool(session.cuts.rows))
        cut = cut_of(session)
        assert cut.summary == "40 events, #61 to #100, are gone"
        assert [row.raw for row in cut.rows] == whole[60:]
        assert (cut.there, cut.before) == (head_of(whole[59]), head_of(whole[99]))
        assert cut.replaced(session.ring.head.event_id) == replaced
        await until(lambda: session.ring.head == log.head)
        assert [row.raw for row in session.ring] == log.raw
        badge = session.integrity.badge(session.clock.now_s())
        assert (badge.text, badge.is_alarm) == ("REWRITTEN at #61", True)
        assert badge.detail == "Found by this console: 40 events, #61 to #100, are gone."
        assert "40 events, #61 to #100, are gone: copies in b" in session.notices


async def test_a_log_cut_to_nothing_is_gone_from_its_first_event_on() -> None:
    log = make_log(10)
    session = Session(log)
    async with running(session) as until:
        await until(lambda: state(session) is State.VERIFIED)
        await reconnected(log, session, until, [])
        await until(lambda: bool(session.cuts.rows))
        assert cut_of(session).summary == "10 events, #1 to #10, are gone"
        assert cut_of(session).there == GENESIS
        log.append()
        await until(lambda: session.ring.head == log.head)
        assert cut_of(session).replaced(1) == "#1"
        assert state(session) is State.REWRITTEN


async def test_what_was_on_its_way_is_kept_as_well() -> None:
    log = make_log(10)
    session = Session(log)
    run = asyncio.create_task(session.run())
    await polled(lambda: session.connection.state is ConnectionState.LIVE)
    before = list(log.raw)
    for _ in range(30):
        log.append()
    await asyncio.sleep(0.01)  # in the inbox, and nothing drains it
    whole = list(log.raw)
    log.go_away()
    await polled(lambda: session.connection.state is ConnectionState.RETRYING)
    log.replace(before)
    log.come_back()
    await polled(lambda: bool(session.cuts.rows))
    assert [row.raw for row in session.cuts.rows] == whole[10:]
    run.cancel()
    await asyncio.wait([run])


async def test_a_cut_under_an_open_stream_is_found_with_the_verdict_that_contradicts_it() -> None:
    log = make_log(100)
    whole = list(log.raw)
    session = Session(log, verify_every_s=0.05)
    async with running(session) as until:
        await until(lambda: state(session) is State.VERIFIED)
        log.replace(whole[:60])
        await until(lambda: bool(session.cuts.rows))
        assert cut_of(session).summary == "40 events, #61 to #100, are gone"
        await until(lambda: [row.raw for row in session.ring] == log.raw)
        assert state(session) is State.REWRITTEN


async def test_events_that_the_log_lost_in_its_middle_as_well_do_not_make_others_seem_gone() -> None:
    log = make_log(100)
    whole = list(log.raw)
    session = Session(log)
    async with running(session) as until:
        await until(lambda: state(session) is State.VERIFIED)
        await reconnected(log, session, until, [*whole[:50], *whole[51:80]])
        await until(lambda: bool(session.cuts.rows))
        assert cut_of(session).summary == "21 events, #51, #81 to #100, are gone"
        assert [row.event_id for row in session.cuts.rows] == [51, *range(81, 101)]


async def test_an_event_that_was_edited_and_kept_its_hash_is_broken_and_not_gone() -> None:
    log = make_log(100)
    whole = list(log.raw)
    session = Session(log)
    async with running(session) as until:
        await until(lambda: state(session) is State.VERIFIED)
        await reconnected(log, session, until, [*whole[:49], tampered(whole[49], source="me"), *whole[50:80]])
        await until(lambda: bool(session.cuts.rows))
        assert cut_of(session).summary == "20 events, #81 to #100, are gone"
        await until(lambda: 50 in session.integrity.own_breaks)


async def test_a_daemon_that_answers_no_question_about_the_cut_is_asked_again_and_no_copy_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("audit_tui.session._COMPARE_AGAIN_S", 0.01)

    log = make_log(100)
    answer = log.event

    async def refuse(event_id: int, /) -> RawEvent | None:
        if event_id > 60:
            raise ClientError("busy", status=503)
        return await answer(event_id)

    session = Session(log)
    async with running(session) as until:
        await until(lambda: state(session) is State.VERIFIED)
        with monkeypatch.context() as patch:
            patch.setattr(log, "event", refuse)
            await reconnected(log, session, until, log.raw[:60])
            await until(lambda: "busy" in session.integrity.uncompared)
            assert len(cut_of(session).rows) == 100
            assert not cut_of(session).settled
            assert state(session) is State.REWRITTEN
        await until(lambda: cut_of(session).settled)
        assert len(session.cuts.rows) == 40


async def test_twelve_reconnects_to_one_cut_log_are_one_cut() -> None:
    log = make_log(100)
    session = Session(log)
    async with running(session) as until:
        await until(lambda: state(session) is State.VERIFIED)
        for _ in range(12):
            await reconnected(log, session, until, log.raw[:60])
        await until(lambda: bool(session.cuts.rows))
        assert cut_of(session).count == 40
        assert state(session) is State.REWRITTEN


async def test_several_cuts_keep_their_copies_apart() -> None:
    log = make_log(100)
    first = list(log.raw)
    session = Session(log)
    async with running(session) as until:
        await until(lambda: state(session) is State.VERIFIED)
        second = branch(first[:60], 30, "second")
        await reconnected(log, session, until, second)
        await until(lambda: session.ring.head == log.head and not session.cuts.unsettled)
        await reconnected(log, session, until, branch(second[:70], 50, "third"))
        await until(lambda: len(session.cuts.all) == 2 and not session.cuts.unsettled)
        assert [cut.summary for cut in session.cuts.all] == [
            "40 events, #61 to #100, are gone",
            "20 events, #71 to #90, are gone",
        ]
        assert [row.raw for row in session.cuts.rows] == [*first[60:], *second[70:]]


async def test_what_was_gone_and_is_put_back_is_said_to_have_been_gone() -> None:
    log = make_log(100)
    whole = list(log.raw)
    session = Session(log, verify_every_s=0.05)
    async with running(session) as until:
        await until(lambda: state(session) is State.VERIFIED)
        await reconnected(log, session, until, whole[:60])
        await until(lambda: bool(session.cuts.rows))
        await reconnected(log, session, until, whole)
        await until(lambda: cut_of(session).returned_ms is not None)
        assert cut_of(session).summary == "40 events, #61 to #100, were gone, and there again"
        assert session.cuts.rows == []
        await until(lambda: "was REWRITTEN" in session.integrity.badge(session.clock.now_s()).text)


# Accepting


async def test_accepting_keeps_the_copies_and_the_next_cut_is_one_again() -> None:
    log = make_log(100)
    whole = list(log.raw)
    session = Session(log, verify_every_s=0.05)
    async with running(session) as until:
        await until(lambda: state(session) is State.VERIFIED)
        await reconnected(log, session, until, whole[:60])
        await until(lambda: bool(session.cuts.rows))
        await session.accept_history(log.head)
        await until(lambda: state(session) is State.VERIFIED)
        assert len(session.cuts.rows) == 40
        await reconnected(log, session, until, whole[:50])
        await until(lambda: len(session.cuts.all) == 2 and not session.cuts.unsettled)
        assert session.cuts.all[1].summary == "10 events, #51 to #60, are gone"
        assert state(session) is State.REWRITTEN


async def test_a_history_that_has_changed_since_it_was_shown_is_not_accepted() -> None:
    log = make_log(100)
    whole = list(log.raw)
    session = Session(log)
    async with running(session) as until:
        await until(lambda: state(session) is State.VERIFIED)
        await reconnected(log, session, until, whole[:60])
        shown = log.head
        log.replace(whole[:50])
        with pytest.raises(ClientError, match="no longer holds #60, so nothing was accepted"):
            await session.accept_history(shown)
        assert session.integrity.is_rewritten


# After a restart of the console


class Console:
    """Sessions on one log, one after another, with what the disk remembers between them."""

    def __init__(self, directory: Path, log: FakeLog) -> None:
        self.log, self._directory = log, directory

    def session(self) -> Session:
        memory = HeadMemory(self._directory)
        known = tuple(Head(head.event_id, head.hash) for head in memory.heads(self.log.url))
        session = Session(self.log, known_heads=known, verify_every_s=0.02)

        def remember(head: Head) -> None:
            memory.remember(self.log.url, head, session.clock.now_ms())

        session._comparing.remember = remember
        self._memory = memory
        return session

    def leave(self, session: Session) -> None:
        session.remember_newest()
        self._memory.flush()

    def accept(self, head: Head) -> None:
        self._memory.accept(self.log.url, head, 1)


async def test_after_a_restart_is_said_how_many_are_gone_though_no_copies_are_there(tmp_path: Path) -> None:
    console = Console(tmp_path, make_log(100))
    whole = list(console.log.raw)
    first = console.session()
    async with running(first) as until:
        await until(lambda: state(first) is State.VERIFIED)
        console.log.append()  # after the last verdict
        await until(lambda: len(first.ring) == 101)
    console.leave(first)
    console.log.replace(whole[:60])
    second = console.session()
    async with running(second) as until:
        await until(lambda: bool(second.cuts.all) and not second.cuts.unsettled)
        assert cut_of(second).summary == "at least 41 events, #61 to #101, are gone"
        assert (cut_of(second).rows, cut_of(second).before.event_id) == ((), 101)
        assert state(second) is State.REWRITTEN


async def test_a_cut_that_was_found_and_neither_accepted_nor_put_back_is_found_again_by_the_next_session(
    tmp_path: Path,
) -> None:
    console = Console(tmp_path, make_log(100))
    first = console.session()
    async with running(first) as until:
        await until(lambda: state(first) is State.VERIFIED)
        await reconnected(console.log, first, until, console.log.raw[:60])
        await until(lambda: bool(first.cuts.rows))
        first.integrity.badge(first.clock.now_s())
        assert first.integrity.acknowledge(first.clock.now_s())
    console.leave(first)
    second = console.session()
    async with running(second) as until:
        await until(lambda: bool(second.cuts.all) and not second.cuts.unsettled)
        # What is still there was remembered too, so that the extent is known without copies.
        assert cut_of(second).summary == "40 events, #61 to #100, are gone"
        assert second.integrity.badge(second.clock.now_s()).is_alarm


# The values


def test_ids_are_told_as_rows_of_consecutive_ones() -> None:
    assert ranges([]) == ()
    assert ranges([5, 3, 4, 9]) == ((3, 5), (9, 9))
    assert ranges([5, 3, 9], (6, 8)) == ((3, 3), (5, 9))
    assert ranges([5], (7, 6)) == ((5, 5),)
    assert ranges([7], (1, 20)) == ((1, 20),)


@given(st.sets(st.integers(1, 40)), st.tuples(st.integers(1, 40), st.integers(1, 40)))
def test_rows_of_ids_hold_each_id_once(ids: set[int], above: tuple[int, int]) -> None:
    found = ranges(ids, above)
    told = [event_id for first, last in found for event_id in range(first, last + 1)]
    assert told == sorted(ids | set(range(above[0], above[1] + 1)))


def test_when_copies_came_is_known_to_a_few_seconds_and_a_clock_that_jumps_back_is_no_harm() -> None:
    arrivals = Arrivals()
    for event_id, at_ms in ((10, 0), (20, 1_000), (30, 10_000), (40, 20_000), (50, 5_000)):
        arrivals.note(event_id, at_ms)
    assert arrivals.span(15, 20) == (None, 1_000)
    assert arrivals.span(25, 40) == (1_000, 20_000)
    assert arrivals.span(45, 50) == (20_000, 5_000)
    assert arrivals.span(45, 99) == (20_000, None)
    for event_id in range(100, 100_000):  # ten a second
        arrivals.note(event_id, event_id * 100)
    assert arrivals.span(98_000, 98_100) == (9_799_900, 9_814_900)
    assert len(arrivals._marks) < 1_000


def test_copies_are_bounded_by_rows_and_bytes_and_those_that_are_not_kept_are_counted() -> None:
    rows = [row_of(raw) for raw in make_log(20).raw]
    for cuts in (Cuts(max_rows=5), Cuts(max_bytes=sum(len(row.raw) for row in rows[15:]))):
        cut = Cut(before=Head(20, "0" * 64), now=GENESIS, found_ms=0)
        cuts.add(cut)
        cuts.replace(cut, Cut(before=cut.before, now=cut.now, found_ms=0, settled=True, gone=((1, 20),), rows=rows))
        assert [row.event_id for row in cuts.rows] == [16, 17, 18, 19, 20]
        assert cuts.unkept == 15
        assert cuts.unsaved == 5


# Whatever happens

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 5)),
        st.tuples(st.just("cut"), st.integers(1, 8)),
        st.tuples(st.just("rewrite"), st.integers(1, 8)),
        st.tuples(st.just("swap"), st.integers(0, 12)),
        st.tuples(st.sampled_from(["restart", "reconnect", "look", "silence", "accept"]), st.just(0)),
    ),
    max_size=10,
)


@settings(max_examples=25, deadline=None)
@given(STEPS)
@example([("append", 3), ("look", 0), ("cut", 5), ("append", 5), ("reconnect", 0), ("look", 0), ("restart", 0)])
@example([("look", 0), ("swap", 12), ("restart", 0), ("silence", 0), ("restart", 0), ("look", 0)])
@example([("look", 0), ("cut", 8), ("look", 0), ("accept", 0), ("cut", 2), ("reconnect", 0), ("look", 0)])
def test_no_history_that_contradicts_what_was_seen_and_not_accepted_is_ever_verified(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    async def main(directory: Path) -> None:
        log = make_log(8)
        console = Console(directory, log)
        seen: dict[int, bytes] = {}
        session = console.session()
        run = running(session)
        until = await run.__aenter__()

        async def look() -> None:
            """Until the session has come to what there is now, and judged it."""
            nonlocal seen
            log.go_away()
            await until(lambda: session.connection.state is ConnectionState.RETRYING)
            log.come_back()
            await until(lambda: session.connection.state is ConnectionState.LIVE and session.ring.head == log.head)
            for _ in range(2):  # of the first the verification may have begun before
                before = session.integrity.verdicts.latest
                await until(lambda before=before: session.integrity.verdicts.latest is not before)  # type: ignore[misc]
            await until(
                lambda: (
                    not session.integrity.uncompared
                    and not session.cuts.unsettled
                    and not session._intake.comparison_wanted.is_set()
                    and state(session) in (State.VERIFIED, State.REWRITTEN)
                )
            )
            now = dict(enumerate(log.raw, start=1))
            contradicted = {event_id for event_id, raw in seen.items() if now.get(event_id) != raw}
            badge = session.integrity.badge(session.clock.now_s())
            assert (badge.state is State.VERIFIED) == (not contradicted), badge
            for cut in session.cuts.all:  # what it says is gone is not there, and what is there is not said to be gone
                if cut.is_exact and cut.returned_ms is None and cut is session.cuts.all[-1] and contradicted:
                    assert {row.event_id for row in cut.rows} <= set(range(cut.gone[0][0], cut.gone[-1][1] + 1))
                    assert all(now.get(row.event_id) != row.raw for row in cut.rows)
            if not contradicted:
                seen |= now

        await look()
        for branches, (step, count) in enumerate(steps):
            match step:
                case "append":
                    for _ in range(count):
                        log.append(payload={"branch": branches})
                case "cut":
                    log.replace(log.raw[:-count])
                case "rewrite":
                    log.replace(branch(log.raw[:-count], len(log.raw[-count:]), f"b{branches}"))
                case "swap":
                    log.replace(branch([], count, f"s{branches}"))
                case "silence":
                    session.integrity.badge(session.clock.now_s())
                    session.integrity.acknowledge(session.clock.now_s())
                case "accept" if session.integrity.is_rewritten:
                    await look()
                    console.accept(await session.accept_history(log.head))
                    seen = {}
                    await look()
                case "restart":
                    await run.__aexit__(None, None, None)
                    console.leave(session)
                    session = console.session()
                    run = running(session)
                    until = await run.__aenter__()
                    await look()
                case _:
                    await look()
        await look()
        await run.__aexit__(None, None, None)

    asyncio.run(main(tmp_path_factory.mktemp("heads")))
