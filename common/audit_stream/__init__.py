"""The shared language of audit-stream: events, kinds, canonical bytes, the chain, filters and the client.

Nothing in this package serves, stores or draws; the daemon and the console both build on it.
"""

__all__ = ["__version__"]

__version__ = "0.2.0"
