"""`python -m audit_tui`."""

from __future__ import annotations

import sys

from audit_tui.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
