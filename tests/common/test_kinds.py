"""The registry of kinds, and how an operator adds to it."""

from __future__ import annotations

import pytest

from audit_stream.errors import KindError
from audit_stream.event import EventReader
from audit_stream.kinds import DEFAULT_KINDS, KIND_PATTERN, Severity


def test_every_built_in_kind_is_named_as_a_kind_must_be() -> None:
    assert len(DEFAULT_KINDS) >= 30
    assert all(KIND_PATTERN.fullmatch(kind.name) for kind in DEFAULT_KINDS)
    assert len({kind.name for kind in DEFAULT_KINDS}) == len(DEFAULT_KINDS)


def test_an_extra_kind_is_accepted_with_its_severity() -> None:
    kinds = DEFAULT_KINDS.with_extra("quota_exceeded:warning, quota_reset ,,")
    assert kinds.severity("quota_exceeded") is Severity.WARNING
    assert kinds.severity("quota_reset") is Severity.INFO
    assert EventReader(kinds).read(b'{"kind":"quota_exceeded","source":"s"}').kind == "quota_exceeded"
    assert "quota_exceeded" not in DEFAULT_KINDS


def test_naming_a_built_in_kind_changes_its_severity_and_keeps_its_owner() -> None:
    kinds = DEFAULT_KINDS.with_extra("request_denied:critical")
    assert kinds.severity("request_denied") is Severity.CRITICAL
    assert len(kinds) == len(DEFAULT_KINDS)
    owners = {kind.name: kind.owner for kind in kinds}
    assert owners["request_denied"] == "policy-as-code-engine"


def test_a_kind_that_is_not_registered_is_info() -> None:
    assert DEFAULT_KINDS.severity("imported_from_elsewhere") is Severity.INFO


@pytest.mark.parametrize("name", ["Quota", "9lives", "a/b", "a b", "é", "x" * 65, "a\nb", ":warning"])
def test_a_name_that_is_no_kind_is_refused(name: str) -> None:
    with pytest.raises(KindError, match="is no kind name"):
        DEFAULT_KINDS.with_extra(f"good_one,{name},another")


@pytest.mark.parametrize("label", ["loud", "WARN", "0"])
def test_a_label_that_is_no_severity_is_refused_with_the_four_that_are(label: str) -> None:
    with pytest.raises(KindError, match="use info, notice, warning or critical"):
        DEFAULT_KINDS.with_extra(f"quota:{label}")


@pytest.mark.parametrize("severity", Severity)
def test_a_severity_is_read_from_its_own_label(severity: Severity) -> None:
    assert Severity.parse(severity.label) is severity


def test_severities_are_ordered_by_loudness() -> None:
    assert Severity.INFO < Severity.NOTICE < Severity.WARNING < Severity.CRITICAL
