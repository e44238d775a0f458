"""Evidence bundles: selected events with everything that links them to a known head, in one JSON file.

`docs/evidence.md` specifies the format. Pure functions on bytes; no I/O.

file.py    the file: `make`, `read`
report.py  what it proves: `check`
"""

from audit_stream.bundle.file import (
    FORMAT,
    MAX_BUNDLE_BYTES,
    MAX_BUNDLE_EVENTS,
    Bundle,
    BundleError,
    BundleOrigin,
    make,
    read,
)
from audit_stream.bundle.report import Fault, Report, check

__all__ = [
    "FORMAT",
    "MAX_BUNDLE_BYTES",
    "MAX_BUNDLE_EVENTS",
    "Bundle",
    "BundleError",
    "BundleOrigin",
    "Fault",
    "Report",
    "check",
    "make",
    "read",
]
