"""The `audit-stream` command: the daemon and its tools, one module a command."""
