"""policy-as-code-engine: bundles, decisions, and the conditions of a signed Decision Card."""

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.end_to_end.producers.environment import producers_python
from tests.end_to_end.producers.process import RunningProducer
from tests.end_to_end.producers.scenario import Emitted, Scenario

_ATTEST = Path(__file__).with_name("attest.py")
_ADMIN_TOKEN = "admin-token-of-the-end-to-end-test"
_EVALUATE_TOKEN = "evaluate-token-of-the-end-to-end-test"
_ADMIN = {"Authorization": f"Bearer {_ADMIN_TOKEN}"}
_EVALUATOR = {"Authorization": f"Bearer {_EVALUATE_TOKEN}"}

_BUYER_ID = "district-42"
_KEY_URL = "https://buyer.example.org/keys/procurement"
_VENDOR_ID = "acme-tutor"
_WITHIN_SCOPE = {"action": "use", "resource": {"vendor_id": _VENDOR_ID}}
# A condition may be asserted for at most seven days.
_CONDITION_LASTS = timedelta(days=3)


def scenario() -> Scenario:
    """Signs a card first, because the engine learns the buyer's key from its environment."""
    now = datetime.now(UTC).replace(microsecond=0)
    card = _conditional_card("DEC-2041", now)
    signed = _sign(card, now)
    registration = {"card": card, "attestation": signed["attestation"], "allowed_actions": ["use"]}
    condition_valid_until = now + _CONDITION_LASTS

    def drive(engine: RunningProducer) -> list[Emitted]:
        return [
            *_register_and_decide(engine, "student-data-7f3a"),
            *_register_and_decide(engine, "策略-🔐-7f3a"),
            *_decide_once(engine, "oneshot-7f3a"),
            *_reject_vendor(engine, "REJ-2040"),
            *_meet_conditions(engine, "DEC-2041", registration, condition_valid_until),
        ]

    return Scenario(
        source="policy-as-code-engine",
        app="policy_as_code_engine.app:app",
        environment={
            "POLICY_ENGINE_ADMIN_TOKEN": _ADMIN_TOKEN,
            "POLICY_ENGINE_EVALUATE_TOKEN": _EVALUATE_TOKEN,
            "POLICY_ENGINE_BUYER_KEYS_JSON": json.dumps({_BUYER_ID: {_KEY_URL: signed["public_key"]}}),
        },
        drive=drive,
    )


def _register_and_decide(engine: RunningProducer, bundle_id: str) -> list[Emitted]:
    bundle = _bundle(bundle_id)
    engine.call("POST", "/bundles", expect=201, json=bundle, headers=_ADMIN)
    engine.call("POST", "/bundles", expect=409, json=bundle, headers=_ADMIN)
    engine.call("POST", "/bundles", expect=403, json=_bundle("never"), headers=_EVALUATOR)
    _evaluate(engine, bundle_id, {"data": {"pii": True, "role": "teacher"}})
    _evaluate(engine, bundle_id, {"data": {"pii": True, "dpa": "missing"}})
    return [
        Emitted("policy_bundle_registered", {"bundle_id": bundle_id, "policy_count": 1}),
        _decided(bundle_id, "allow", "pii-gate", "teacher-ok"),
        _decided(bundle_id, "deny", "pii-gate", "dpa-required"),
    ]


def _decide_once(engine: RunningProducer, bundle_id: str) -> list[Emitted]:
    request = {"bundle": _bundle(bundle_id), "context": {"data": {"role": "visitor"}}}
    engine.call("POST", "/evaluate", expect=200, json=request, headers=_ADMIN)
    return [_decided(bundle_id, "deny", "pii-gate", None)]


def _reject_vendor(engine: RunningProducer, decision_id: str) -> list[Emitted]:
    card = {
        "decision_card_version": "0.1",
        "decision_id": decision_id,
        "decision": {"status": "rejected"},
        "subject": {"vendor_name": "Ünsicher & Söhne"},
    }
    engine.call("POST", "/bundles/from-decision-card", expect=201, json={"card": card}, headers=_ADMIN)
    return [Emitted("policy_bundle_registered", {"bundle_id": f"decision-card-{decision_id}", "policy_count": 1})]


def _meet_conditions(
    engine: RunningProducer, decision_id: str, registration: dict[str, Any], valid_until: datetime
) -> list[Emitted]:
    bundle_id = f"decision-card-{decision_id}"
    unsigned = {**registration, "attestation": None}
    engine.call("POST", "/bundles/from-decision-card", expect=400, json=unsigned, headers=_ADMIN)
    engine.call("POST", "/bundles/from-decision-card", expect=201, json=registration, headers=_ADMIN)
    _evaluate(engine, bundle_id, _WITHIN_SCOPE)
    _evaluate(engine, bundle_id, {**_WITHIN_SCOPE, "action": "train"})
    first_policy = f"{decision_id}__condition__dpa-signed"
    asserted = [
        _assert_condition(engine, bundle_id, condition_id, valid_until, satisfied=True)
        for condition_id in ("dpa-signed", "données-résidence")
    ]
    _evaluate(engine, bundle_id, _WITHIN_SCOPE)
    withdrawn = _assert_condition(engine, bundle_id, "dpa-signed", valid_until, satisfied=False)
    return [
        Emitted("policy_bundle_registered", {"bundle_id": bundle_id, "policy_count": 2}),
        _decided(bundle_id, "deny", first_policy, None),
        _decided(bundle_id, "deny", None, None),
        *asserted,
        _decided(bundle_id, "allow", first_policy, "dpa-signed-satisfied"),
        withdrawn,
    ]


def _evaluate(engine: RunningProducer, bundle_id: str, context: dict[str, Any]) -> None:
    path = f"/bundles/{quote(bundle_id, safe='')}/evaluate"
    engine.call("POST", path, expect=200, json=context, headers=_EVALUATOR)


def _assert_condition(
    engine: RunningProducer, bundle_id: str, condition_id: str, valid_until: datetime, *, satisfied: bool
) -> Emitted:
    path = f"/bundles/{quote(bundle_id, safe='')}/conditions/{quote(condition_id, safe='')}"
    assertion = {"satisfied": satisfied, "valid_until": valid_until.isoformat()}
    engine.call("PUT", path, expect=200, json=assertion, headers=_ADMIN)
    return Emitted("policy_condition_asserted", {"bundle_id": bundle_id, "condition_id": condition_id, **assertion})


def _decided(bundle_id: str, decision: str, policy_id: str | None, rule_id: str | None) -> Emitted:
    return Emitted(
        "request_allowed" if decision == "allow" else "request_denied",
        {
            "bundle_id": bundle_id,
            "decision": decision,
            "matched_policy_id": policy_id,
            "matched_rule_id": rule_id,
        },
    )


def _bundle(bundle_id: str) -> dict[str, Any]:
    rules = [
        {"id": "dpa-required", "effect": "deny", "when": {"kind": "eq", "field": "dpa", "value": "missing"}},
        {"id": "teacher-ok", "effect": "allow", "when": {"kind": "eq", "field": "role", "value": "teacher"}},
    ]
    return {"bundle_id": bundle_id, "policies": [{"id": "pii-gate", "rules": rules}]}


def _conditional_card(decision_id: str, now: datetime) -> dict[str, Any]:
    return {
        "decision_card_version": "0.1",
        "decision_id": decision_id,
        "issued_at": now.isoformat(),
        "buyer": {"name": "District scolaire nº 42", "type": "school-district", "id": _BUYER_ID},
        "decision": {
            "status": "approved-with-conditions",
            "effective_from": (now - timedelta(days=1)).isoformat(),
            "effective_until": (now + timedelta(days=365)).isoformat(),
        },
        "subject": {"vendor_name": "Acme Tutor", "vendor_id": _VENDOR_ID},
        "conditions": [
            {"id": "dpa-signed", "description": "The data processing agreement is signed"},
            {"id": "données-résidence", "description": "Les données restent dans le pays"},
        ],
        "rationale": "Fit for use once both conditions hold.",
    }


def _sign(card: dict[str, Any], now: datetime) -> dict[str, Any]:
    request = json.dumps({"card": card, "key_url": _KEY_URL, "signed_at": now.isoformat()})
    command = [str(producers_python()), "-I", str(_ATTEST)]
    done = subprocess.run(command, input=request, capture_output=True, text=True, check=True, timeout=60)
    signed: dict[str, Any] = json.loads(done.stdout)
    return signed
