"""The vendor's web site as files: what launch.py serves to the producers as https://vendor.example.com."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.end_to_end.producers.launch import VENDOR_HOST


@dataclass(frozen=True)
class VendorSite:
    """One directory; a document may be replaced at any time, and the next fetch gets the new one."""

    root: Path

    def publish(self, path: str, document: dict[str, Any]) -> None:
        """Make `document` what a GET of `path` answers."""
        file = self.root / path.removeprefix("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")

    def url(self, path: str) -> str:
        """The address under which the producers know the document; it need not exist."""
        return f"https://{VENDOR_HOST}{path}"


def content_hash(document: dict[str, Any]) -> str:
    """What the producers report of a document that they fetched."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()
