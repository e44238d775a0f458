"""data-contract-registry: versions of a contract promoted, refused and deprecated."""

from typing import Any
from urllib.parse import quote

from tests.end_to_end.producers.process import RunningProducer
from tests.end_to_end.producers.scenario import Emitted, Scenario

_MIGRATION_GUIDE = "https://wiki.example.com/migrate?from=1.0.0&to=1.1.0#étapes"


def scenario() -> Scenario:
    """The same life of a contract for an ASCII dataset and for one that is not."""

    def drive(registry: RunningProducer) -> list[Emitted]:
        return [
            *_live_through_versions(registry, "orders-5c1d"),
            *_live_through_versions(registry, "顧客データ-é-5c1d"),
        ]

    return Scenario(
        source="data-contract-registry",
        app="data_contract_registry.app:app",
        environment={},
        drive=drive,
    )


def _live_through_versions(registry: RunningProducer, dataset_id: str) -> list[Emitted]:
    first = _contract(dataset_id, "1.0.0", {"id": "string", "amount": "integer"}, optional={"note": "string"})
    second = _contract(
        dataset_id, "1.1.0", {"id": "string", "amount": "integer"}, optional={"note": "string", "période": "string"}
    )
    breaking = _contract(dataset_id, "2.0.0", {"id": "integer", "amount": "string"}, optional={"période": "string"})
    versions = f"/contracts/{quote(dataset_id, safe='')}/versions"
    deprecation = {"deprecation_uri": _MIGRATION_GUIDE}

    registry.call("POST", "/contracts", expect=201, json={"contract": first})
    registry.call("POST", "/contracts", expect=400, json={"contract": first})
    registry.call("POST", "/contracts", expect=201, json={"contract": second})
    registry.call("POST", "/contracts/check", expect=200, json={"contract": breaking})
    registry.call("POST", "/contracts", expect=422, json={"contract": breaking, "compatibility": "full"})
    registry.call("POST", f"{versions}/1.0.0/deprecate", expect=200, json=deprecation)
    registry.call("POST", f"{versions}/9.9.9/deprecate", expect=404, json=deprecation)
    registry.call("POST", f"{versions}/1.0.0/archive", expect=200)
    return [
        Emitted("contract_promoted", {"dataset_id": dataset_id, "version": "1.0.0", "mode": "backward"}),
        Emitted("contract_promoted", {"dataset_id": dataset_id, "version": "1.1.0", "mode": "backward"}),
        Emitted(
            "contract_compatibility_failed",
            {
                "dataset_id": dataset_id,
                "version": "2.0.0",
                "mode": "full",
                "issue_count": 3,
                "issue_kinds": ["field_removed", "field_type_changed"],
            },
        ),
        Emitted("contract_deprecated", {"dataset_id": dataset_id, "version": "1.0.0", **deprecation}),
    ]


def _contract(dataset_id: str, version: str, required: dict[str, str], *, optional: dict[str, str]) -> dict[str, Any]:
    fields = [
        {"name": name, "type": type_, "required": name in required} for name, type_ in {**required, **optional}.items()
    ]
    return {"dataset_id": dataset_id, "version": version, "fields": fields, "owners": [{"team": "équipe-données"}]}
