"""What an index shows of the package, as the installed one carries it."""

from __future__ import annotations

import re
from importlib.metadata import metadata

LINK = re.compile(r"(!?)\[[^\]]*\]\(([^)]*)\)")


def test_the_description_has_no_link_and_no_picture_that_leads_nowhere_outside_the_repository() -> None:
    package = metadata("audit-stream")
    description = str(package.get_payload())  # type: ignore[attr-defined]  # it is a Message
    assert description.startswith("# audit-stream\n")
    links = LINK.findall(description)
    assert [link for picture, link in links if not link.startswith("https://" if picture else ("https://", "#"))] == []
    headings = re.findall(r"^#+ (.+)$", description, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    assert {link.removeprefix("#") for _, link in links if link.startswith("#")} <= anchors
    assert package["Description-Content-Type"] == "text/markdown"
