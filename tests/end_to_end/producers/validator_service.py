"""aeo-validator-service: watches on a vendor's documents while the vendor changes them."""

from typing import Any

from tests.end_to_end.producers.documents import VendorSite, content_hash
from tests.end_to_end.producers.launch import VENDOR_HOST
from tests.end_to_end.producers.process import RunningProducer
from tests.end_to_end.producers.scenario import Emitted, Scenario

_AEO = {
    "aeo_version": "0.1",
    "entity": {"id": "https://vendor.example.com/#org", "type": "Organization", "name": "Acme Tutor"},
    "authority": {"primary_sources": ["https://vendor.example.com/about"]},
}
_AEO_WITH_CLAIMS = {**_AEO, "claims": [{"id": "c1", "confidence": 0.9}], "revendications_é": ["sûr"]}
_AEO_HOLLOW = {"aeo_version": "0.1"}
_TOOL = {"tool_card_version": "0.1", "tool_id": "grade-book", "name": "Grade book", "description": "Keeps grades"}
_TOOL_RENAMED = {**_TOOL, "tool_card_version": "0.2", "name": "Carnet de notes"}
_AGENT = {"agent_card_version": "0.1", "agent_id": "tutor-1", "capabilities": ["explain"]}
_ODD = {"motto": "no version field here — 不明"}


def scenario(vendor: VendorSite) -> Scenario:
    """Three documents: one goes through every change, one drifts into another kind, one starts out unknown."""

    def drive(service: RunningProducer) -> list[Emitted]:
        service.call("POST", "/watches", expect=400, json={"url": vendor.url("/missing.json")})
        aeo = _Watched(service, vendor, "/aeo.json", _AEO)
        tool = _Watched(service, vendor, "/tool.json", _TOOL)
        odd = _Watched(service, vendor, "/odd.json", _ODD)
        return [
            aeo.created("aeo", "0.1", valid=True),
            tool.created("tool-card", "0.1", valid=True),
            odd.created("unknown", None, valid=False),
            aeo.drifted(_AEO_WITH_CLAIMS, "aeo", added=["claims", "revendications_é"]),
            aeo.flipped(_AEO_HOLLOW, "aeo", valid=False, issues=2),
            aeo.flipped(_AEO, "aeo", valid=True, issues=0),
            tool.drifted(_TOOL_RENAMED, "tool-card", changed=["name", "tool_card_version"]),
            tool.drifted(_AGENT, "agent-card", spec_changed=True, added=sorted(_AGENT), removed=sorted(_TOOL_RENAMED)),
            odd.flipped(_AGENT, "agent-card", valid=True, issues=0),
        ]

    return Scenario(
        source="aeo-validator-service",
        app="aeo_validator_service.app:app",
        environment={"AEO_FETCH_ALLOWED_HOSTS": VENDOR_HOST},
        drive=drive,
    )


class _Watched:
    """A document under watch. Each method makes the service see one change and returns what it must have emitted."""

    def __init__(self, service: RunningProducer, vendor: VendorSite, path: str, document: dict[str, Any]) -> None:
        self.service = service
        self.vendor = vendor
        self.path = path
        self.document = document
        self.watch_id = ""

    def created(self, spec: str, spec_version: str | None, *, valid: bool) -> Emitted:
        self.vendor.publish(self.path, self.document)
        url = self.vendor.url(self.path)
        self.service.call("POST", "/validate/by-url", expect=200, json={"url": url})
        self.watch_id = self.service.call("POST", "/watches", expect=201, json={"url": url}).json()["watch_id"]
        self._recheck()
        payload = {
            **self._identity(),
            "spec": spec,
            "spec_version": spec_version,
            "content_hash": content_hash(self.document),
            "valid": valid,
        }
        return Emitted("watch_created", payload)

    def drifted(
        self,
        document: dict[str, Any],
        spec: str,
        *,
        spec_changed: bool = False,
        added: list[str] | None = None,
        removed: list[str] | None = None,
        changed: list[str] | None = None,
    ) -> Emitted:
        payload = {
            **self._identity(),
            "spec": spec,
            "spec_changed": spec_changed,
            **self._become(document),
            "added_fields": added or [],
            "removed_fields": removed or [],
            "changed_fields": changed or [],
        }
        return Emitted("watch_drifted", payload)

    def flipped(self, document: dict[str, Any], spec: str, *, valid: bool, issues: int) -> Emitted:
        payload = {
            **self._identity(),
            "became_invalid": not valid,
            "became_valid": valid,
            "spec": spec,
            **self._become(document),
            "after_issues": issues,
        }
        return Emitted("watch_validity_flipped", payload)

    def _become(self, document: dict[str, Any]) -> dict[str, str]:
        before = content_hash(self.document)
        self.document = document
        self.vendor.publish(self.path, document)
        self._recheck()
        return {"content_hash_before": before, "content_hash_after": content_hash(document)}

    def _identity(self) -> dict[str, str]:
        return {"watch_id": self.watch_id, "url": self.vendor.url(self.path)}

    def _recheck(self) -> None:
        """An event comes of it only if the document is another one than last time."""
        self.service.call("POST", f"/watches/{self.watch_id}/recheck", expect=200)
