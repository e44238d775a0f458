"""The audit-stream daemon: the store, the tail, the verifier, HTTP, and the `audit-stream` command."""
