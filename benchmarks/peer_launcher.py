"""Serve audit-stream 0.1.0 with a store that was filled before serving; runs in the peer's environment.

Loading a million events through the peer's POST takes many minutes. This calls its own `AuditStore.append` with what
its own handler would pass, so that the objects in memory are the ones that POSTs leave behind.
"""

import argparse
import asyncio
import gc
import importlib
import json
from pathlib import Path
from typing import Any


async def filled(store: Any, bodies: list[bytes], count: int) -> Any:
    """The store, with so many events appended from the bodies in turn."""
    publish_request = importlib.import_module("audit_stream.models").PublishRequest
    for index in range(count):
        # The handler decodes each body with json.loads: parsing each anew gives each event strings of its own.
        await store.append(publish_request.model_validate(json.loads(bodies[index % len(bodies)])))
    return store


def main() -> None:
    """Fill, then serve until SIGTERM, with the settings that an empty peer gets as well."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--bodies", type=Path, required=True, help="one POST body a line")
    options = parser.parse_args()
    bodies = options.bodies.read_bytes().splitlines()

    module: Any = importlib.import_module("audit_stream.app")
    gc.disable()  # nothing here is garbage, and walking a growing heap over and over doubles the time
    store = asyncio.run(filled(module.AuditStore(), bodies, options.events))
    gc.enable()
    gc.collect()  # into the oldest generation, where appends over minutes would have left them
    module.AuditStore = lambda: store  # the app makes its store when it starts
    importlib.import_module("uvicorn").run(
        module.app, host="127.0.0.1", port=options.port, access_log=False, log_level="warning"
    )


if __name__ == "__main__":
    main()
