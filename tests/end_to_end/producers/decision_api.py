"""procurement-decision-api: drafts of Decision Cards, with and without the vendor's documents."""

from typing import Any

from tests.end_to_end.producers.documents import VendorSite
from tests.end_to_end.producers.launch import VENDOR_HOST
from tests.end_to_end.producers.process import RunningProducer
from tests.end_to_end.producers.scenario import Emitted, Scenario

_TOKEN = "token-of-the-end-to-end-test-0123456789"
_AUTHORIZED = {"Authorization": f"Bearer {_TOKEN}"}
_AEO = "/.well-known/aeo.json"
_MISSING = "/.well-known/missing.json"


def scenario(vendor: VendorSite) -> Scenario:
    """The vendor offers one document and a link to another that is not there."""
    vendor.publish(_AEO, {"aeo_version": "0.1", "entity": {"name": "Acme Tutor, société à responsabilité limitée"}})
    found = {"type": "aeo", "url": vendor.url(_AEO)}
    missing = {"type": "tool-card", "url": vendor.url(_MISSING)}
    elsewhere = {"type": "aeo", "url": "https://elsewhere.example.org/.well-known/aeo.json"}

    def drive(api: RunningProducer) -> list[Emitted]:
        refused = _request("DEC-0", fetch_targets=[elsewhere])
        api.call("POST", "/decisions/draft", expect=400, json=refused, headers=_AUTHORIZED)
        api.call("POST", "/decisions/draft", expect=401, json=_request("DEC-0"))
        drafts = [
            _draft(api, _request("DEC-1"), fetched=0, failed=0),
            _draft(api, _request("DEC-2", fetch_targets=[found]), fetched=1, failed=0),
            _draft(api, _request("DEC-3", fetch_targets=[found, missing]), fetched=1, failed=1),
            _draft(api, _request("DEC-4", fetch_targets=[missing]), fetched=0, failed=1),
            _draft(api, _request("決定-5-🏫", vendor_name="株式会社チューター"), fetched=0, failed=0),
            _draft(api, _request("DEC-6", proposed_status="approved"), fetched=0, failed=0),
        ]
        card = api.call("POST", "/decisions/draft", expect=200, json=_request("DEC-7"), headers=_AUTHORIZED).json()
        api.call("POST", "/decisions/validate", expect=200, json=card["draft"], headers=_AUTHORIZED)
        return [*drafts, _drafted(fetched=0, failed=0)]

    return Scenario(
        source="procurement-decision-api",
        app="procurement_decision_api.app:app",
        environment={"API_TOKEN": _TOKEN, "FETCH_ALLOWED_HOSTS": VENDOR_HOST},
        drive=drive,
    )


def _draft(api: RunningProducer, request: dict[str, Any], *, fetched: int, failed: int) -> Emitted:
    answer = api.call("POST", "/decisions/draft", expect=200, json=request, headers=_AUTHORIZED).json()
    assert (len(answer["documents_fetched"]), len(answer["fetch_errors"])) == (fetched, failed), answer
    return _drafted(fetched=fetched, failed=failed)


def _drafted(*, fetched: int, failed: int) -> Emitted:
    return Emitted("decision_card_drafted", {"status": "pending", "documents_fetched": fetched, "fetch_errors": failed})


def _request(decision_id: str, **more: object) -> dict[str, Any]:
    return {
        "decision_id": decision_id,
        "buyer": {"name": "District scolaire nº 42", "type": "school-district"},
        "vendor_name": "Acme Tutor",
        "rubric": [{"id": "MEASURE_2_5", "result": "partial", "weight": 0.5, "notes": "à vérifier"}],
        **more,
    }
