"""The audit-stream console, `audit-tui`."""
