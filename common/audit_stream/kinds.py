"""The registry of event kinds: which service owns each, and how loud it is.

An operator adds kinds without touching code by `AUDIT_STREAM_EXTRA_KINDS`; see `KindRegistry.with_extra`.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator

import msgspec

from audit_stream.errors import KindError

__all__ = ["DEFAULT_KINDS", "EXTRA_KINDS_SETTING", "Kind", "KindRegistry", "Severity"]

EXTRA_KINDS_SETTING = "AUDIT_STREAM_EXTRA_KINDS"

KIND_PATTERN = re.compile(r"[a-z][a-z0-9_.-]{0,63}")
"""Lower snake case, dotted in some services: needs no JSON escape, and fits an SSE `event:` line as it is."""


class Severity(enum.IntEnum):
    """How loud a kind is; ordered, so that `severity:>=warning` means what it says."""

    INFO = 0
    NOTICE = 1
    WARNING = 2
    CRITICAL = 3

    @property
    def label(self) -> str:
        """The lower-case name that users read and type."""
        return self.name.lower()

    @classmethod
    def parse(cls, label: str) -> Severity:
        """The severity of a label; KindError names the four when it is none of them."""
        try:
            return cls[label.upper()]
        except KeyError:
            raise KindError(f"{label!r} is no severity: use info, notice, warning or critical") from None


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One event kind. `owner` is the source that emits it, "" for kinds that anyone may emit."""

    name: str
    owner: str
    severity: Severity


def _kinds(owner: str, **severities: Severity) -> list[Kind]:
    return [Kind(name=name, owner=owner, severity=severity) for name, severity in severities.items()]


_INFO, _NOTICE, _WARNING, _CRITICAL = Severity

_SEED = [
    *_kinds(
        "procurement-decision-api",
        decision_card_drafted=_INFO,
        decision_card_signed=_NOTICE,
        decision_card_status_changed=_NOTICE,
    ),
    *_kinds(
        "policy-as-code-engine",
        policy_bundle_registered=_NOTICE,
        request_allowed=_INFO,
        request_denied=_WARNING,
    ),
    *_kinds(
        "data-contract-registry",
        contract_promoted=_NOTICE,
        contract_deprecated=_NOTICE,
        contract_compatibility_failed=_WARNING,
    ),
    *_kinds(
        "aeo-validator-service",
        watch_created=_INFO,
        watch_drifted=_WARNING,
        watch_validity_flipped=_WARNING,
    ),
    *_kinds("incident-correlation-rs", incident_filed=_CRITICAL, remediation_planned=_NOTICE),
    *_kinds("hash-attestation-rs", attestation_verified=_INFO, attestation_tampered=_CRITICAL),
    *_kinds("feature-flag-rs", flag_swapped=_NOTICE),
    *_kinds("request-shadow-rs", shadow_divergence_recorded=_WARNING),
    *_kinds(
        "mcp-permission-broker",
        tool_invocation_allowed=_INFO,
        tool_invocation_denied=_WARNING,
        tool_invocation_required_approval=_NOTICE,
    ),
    *_kinds("", other=_INFO),
]

_SINCE_THE_SEED = [
    *_kinds("policy-as-code-engine", policy_condition_asserted=_NOTICE),
    *_kinds("slo-budget-tracker", slo_burn_started=_CRITICAL, slo_recovered=_NOTICE),
    *_kinds("hash-attestation", attestation_signed=_INFO, attestation_failed=_CRITICAL),
    *_kinds("incident-correlation", incident_correlated=_WARNING, incident_correlation_failed=_WARNING),
    *_kinds("aeo-graph-explorer", graph_ingested=_INFO, graph_ingest_failed=_WARNING),
    *_kinds("reliability-toolkit", breaker_opened=_CRITICAL, breaker_recovered=_NOTICE),
]


class KindRegistry:
    """The kinds that a daemon accepts, in the order of registration. Immutable; safe to share between threads."""

    def __init__(self, kinds: list[Kind]) -> None:
        self._by_name = {kind.name: kind for kind in kinds}

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def severity(self, name: str) -> Severity:
        """The kind's severity; INFO for a kind that is not registered, such as one from an imported chain."""
        kind = self._by_name.get(name)
        return Severity.INFO if kind is None else kind.severity

    def with_extra(self, setting: str) -> KindRegistry:
        """A registry of these kinds and those of a setting such as `quota_exceeded:warning, quota_reset`.

        A kind without a severity is `info`; naming a registered kind changes its severity.
        Raises KindError, which names the item.
        """
        extra = []
        for item in filter(None, (part.strip() for part in setting.split(","))):
            name, _, label = item.partition(":")
            if not KIND_PATTERN.fullmatch(name):
                raise KindError(
                    f"{name[:80]!r} is no kind name: use a lower-case letter, then up to 63 of a-z, 0-9, _, . and -"
                )
            owner = self._by_name[name].owner if name in self._by_name else ""
            severity = Severity.parse(label.strip()) if label else Severity.INFO
            extra.append(Kind(name=name, owner=owner, severity=severity))
        return KindRegistry([*self._by_name.values(), *extra])


DEFAULT_KINDS = KindRegistry([*_SEED, *_SINCE_THE_SEED])
"""The 22 kinds of the prototype's table (release 0.1.0 has 19 of them) and 11 more that producers and readers use."""
