"""Serve a published producer as it is, with the vendor's documents read from local files.

Runs in the producers' environment as a script (`python -I launch.py MODULE:APP --ready-fd FD --documents DIR`), so it
imports nothing of ours. Only what leads to the vendor's host is replaced: its name resolves to a public address and
its documents come from files. Whatever the producer sends to the daemon takes the ordinary way through the network.
"""

import argparse
import os
import socket
from pathlib import Path
from typing import Any

import httpx
import uvicorn

VENDOR_HOST = "vendor.example.com"
# The producers refuse a vendor whose name resolves to a private, reserved or documentation address.
VENDOR_ADDRESS = "93.184.215.14"


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("app", help="what uvicorn imports, MODULE:APP")
    parser.add_argument(
        "--ready-fd", type=int, required=True, help="gets the port as a line once requests are answered"
    )
    parser.add_argument("--documents", type=Path, required=True, help="https://HOST/PATH is the file PATH in here")
    arguments = parser.parse_args()

    answer_vendor_from_files(arguments.documents)
    resolve_vendor_locally()
    # uvloop resolves names by itself and would not ask socket.getaddrinfo.
    config = uvicorn.Config(arguments.app, loop="asyncio", access_log=False, log_level="warning")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        AnnouncingServer(config, ready_fd=arguments.ready_fd).run(sockets=[listening])


class AnnouncingServer(uvicorn.Server):
    """Writes its port to a file descriptor when it answers requests, and closes the descriptor."""

    def __init__(self, config: uvicorn.Config, *, ready_fd: int) -> None:
        super().__init__(config)
        self.ready_fd = ready_fd

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        assert sockets is not None
        if self.started:
            os.write(self.ready_fd, b"%d\n" % sockets[0].getsockname()[1])
        os.close(self.ready_fd)


def answer_vendor_from_files(documents: Path) -> None:
    """Make every httpx client take the vendor's documents from files; a file that is missing answers 404."""
    over_the_network = httpx.AsyncHTTPTransport.handle_async_request

    async def handle(self: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        if request.url.host != VENDOR_HOST:
            return await over_the_network(self, request)
        document = documents / request.url.path.removeprefix("/")
        if not document.is_file():
            return httpx.Response(404, request=request)
        headers = {"Content-Type": "application/json"}
        return httpx.Response(200, headers=headers, content=document.read_bytes(), request=request)

    # The producers build their client inside their lifespan, so there is no place to hand them a transport.
    httpx.AsyncHTTPTransport.handle_async_request = handle  # type: ignore[method-assign]  # the reason is above


def resolve_vendor_locally() -> None:
    """Give the vendor's name a public address; every other name is asked for as before."""
    ask_resolver = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        return ask_resolver(VENDOR_ADDRESS if host == VENDOR_HOST else host, port, *args, **kwargs)

    socket.getaddrinfo = getaddrinfo


if __name__ == "__main__":
    main()
