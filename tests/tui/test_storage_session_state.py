"""How the console was left comes back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_tui.model.alerts import UnacknowledgedAlert
from audit_tui.storage.session_state import DaemonState, SessionFile, SessionState

URL, OTHER = "http://127.0.0.1:8093", "http://10.0.0.5:8093"


def test_without_a_file_everything_is_default(tmp_path: Path) -> None:
    file = SessionFile(tmp_path)
    assert file.load() == SessionState()
    assert file.load().daemon(URL) == DaemonState()
    assert file.problems == []


texts = st.text(st.characters(codec="utf-8"), max_size=20)
states = st.builds(
    DaemonState,
    filter=texts,
    columns=st.lists(texts, max_size=4).map(tuple),
    layout=st.dictionaries(texts, texts | st.booleans() | st.integers(-(2**63), 2**63 - 1), max_size=4),
    time_format=texts,
)


@settings(max_examples=40, deadline=None)
@given(states, texts, texts)
def test_what_was_saved_is_loaded(
    tmp_path_factory: pytest.TempPathFactory, daemon: DaemonState, url: str, theme: str
) -> None:
    directory = tmp_path_factory.mktemp("state")
    SessionFile(directory).save(url, daemon, theme=theme)
    state = SessionFile(directory).load()
    assert state.daemon(url) == daemon
    assert (state.theme, state.last_url, state.recent_urls) == (theme, url, (url,))


def test_daemons_keep_out_of_each_others_way(tmp_path: Path) -> None:
    one, other = SessionFile(tmp_path), SessionFile(tmp_path)
    one.save(URL, DaemonState(filter="kind:other"), theme="a")
    other.save(OTHER, DaemonState(filter="x"), theme="b")
    one.save(URL, DaemonState(filter="kind:new"), theme="a")
    state = other.load()
    assert (state.daemon(URL).filter, state.daemon(OTHER).filter) == ("kind:new", "x")
    assert state.recent_urls == (URL, OTHER)


def test_named_filters_are_saved_one_by_one_and_outlive_a_session(tmp_path: Path) -> None:
    one, other = SessionFile(tmp_path), SessionFile(tmp_path)
    one.save_filter(URL, "denials", "kind:*denied")
    assert other.save_filter(URL, "bad", "severity:critical") == {"bad": "severity:critical", "denials": "kind:*denied"}
    one.save(URL, DaemonState(filter="now"), theme="")
    assert one.load().daemon(URL).filters == {"bad": "severity:critical", "denials": "kind:*denied"}
    assert one.load().daemon(OTHER).filters == {}


def test_a_named_filter_can_be_replaced_and_removed(tmp_path: Path) -> None:
    file = SessionFile(tmp_path)
    file.save_filter(URL, "a", "x")
    assert file.save_filter(URL, "a", "y") == {"a": "y"}
    assert file.save_filter(URL, "a", None) == {}
    assert file.save_filter(URL, "never there", None) == {}
    assert file.load().daemon(URL).filters == {}


def test_a_filter_that_cannot_be_saved_is_a_problem_and_not_among_those_on_disk(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"")
    file = SessionFile(tmp_path / "state")
    assert file.save_filter(URL, "a", "x") == {}
    assert any("cannot be saved" in problem for problem in file.problems)


@pytest.mark.parametrize("content", [b"", b"{", b"null", b'{"daemons":[]}', b'{"theme":3}'])
def test_what_cannot_be_understood_is_default_and_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "session.json").write_bytes(content)
    file = SessionFile(tmp_path)
    assert file.load() == SessionState()
    assert len(file.problems) == 1


def test_a_newer_consoles_fields_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "session.json").write_bytes(b'{"theme":"dark","sound":"loud"}')
    file = SessionFile(tmp_path)
    assert file.load() == SessionState(theme="dark")
    assert file.problems == []


def test_the_daemons_that_were_not_used_for_longest_are_forgotten(tmp_path: Path) -> None:
    file = SessionFile(tmp_path)
    for number in range(52):
        file.save(f"http://{number}", DaemonState(), theme="")
    assert file.load().recent_urls == tuple(f"http://{number}" for number in range(51, 1, -1))


def test_alerts_stand_in_the_file_under_the_name_that_they_have_always_had(tmp_path: Path) -> None:
    alert = UnacknowledgedAlert(event_id=7, reason="hash mismatch at event #7", by_console=True)
    SessionFile(tmp_path).save(URL, DaemonState(unacknowledged=(alert,)), theme="")
    saved = json.loads((tmp_path / "session.json").read_bytes())["daemons"][URL]
    assert saved["unseen"] == [{"event_id": 7, "reason": "hash mismatch at event #7", "by_console": True}]
    assert SessionFile(tmp_path).load().daemon(URL).unacknowledged == (alert,)
