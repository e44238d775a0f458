"""The daemon's HTTP client, for the command line, the console and any other asyncio program.

    async with Client("http://127.0.0.1:8093") as client:
        await client.append({"kind": "other", "source": "my-service", "payload": {"answer": 42}})
        async for item in client.tail():
            ...

Events come as `RawEvent`: the very bytes that the daemon sent, so that whoever wants evidence can hash them.
Everything here raises ClientError and nothing else.

http.py       Client: requests, retries, pages
reading.py    what is read may be left at any event
tail.py       following the log over connections that break
messages.py   server-sent events, as our daemons send them
selection.py  which events are asked for
decoding.py   what the daemon says, read
tls.py        whom a client trusts, and proxies
limits.py     no answer of something else fills memory
bodies.py     an event as JSON, nothing changed unsaid
failures.py   what goes wrong on the way, and how long to wait before trying again
"""

from audit_stream.answers import Stats
from audit_stream.client.decoding import Appended, RawEvent, Receipt
from audit_stream.client.http import Client, base_url, shown_url
from audit_stream.client.selection import EVERYTHING, Selection
from audit_stream.client.tail import Live, Lost, OtherHistory, Tailed
from audit_stream.wire import DEFAULT_URL

__all__ = [
    "DEFAULT_URL",
    "EVERYTHING",
    "Appended",
    "Client",
    "Live",
    "Lost",
    "OtherHistory",
    "RawEvent",
    "Receipt",
    "Selection",
    "Stats",
    "Tailed",
    "base_url",
    "shown_url",
]
