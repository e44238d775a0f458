"""`AuditStreamError` is the root of every error of ours."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

import audit_daemon
import audit_stream
import audit_tui
from audit_stream.errors import AuditStreamError

PACKAGES = (audit_stream, audit_daemon, audit_tui)


def own_errors() -> Iterator[type[Exception]]:
    """Every class of an error that a module of ours defines, but for those that never leave their module."""
    for package in PACKAGES:
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            for value in vars(importlib.import_module(found.name)).values():
                if isinstance(value, type) and issubclass(value, Exception) and value.__module__ == found.name:
                    yield value


def test_every_error_of_ours_is_an_audit_stream_error() -> None:
    public = {error for error in own_errors() if not error.__name__.startswith("_")}
    assert len(public) > 20
    assert {error for error in public if not issubclass(error, AuditStreamError)} == set()
