"""The daemon's HTTP surface.

listener.py    accepting connections, within what the process may have open
connection.py  one connection: what is no HTTP, and how large and how slow a head may be
transport.py   one system call an answer
budget.py      memory for what is being received and sent, whoever the peers are
sending.py     what a reader does not take
gateway.py     every request first: who is answered, CORS, producers' two routes
ingest.py      POST /events and /events/batch, as bare ASGI
bodies.py      their bodies, with a limit and within the budget
app.py         the Litestar application: every other route
events.py      GET /events, /events/{id}, /events/{id}/canonical
streams.py     GET /stream, /events/stream
reports.py     GET /, /healthz, /readyz, /verify, /stats, /metrics, /schema
queries.py     query parameters: how each is read, and what the schema says of it
problems.py    RFC 9457 answers
cors.py        which pages may talk to us
openapi.py     the description that GET /schema serves, and the list of GET /
metrics.py     what Prometheus scrapes
app_state.py   what the handlers share
asgi.py        the protocol's types, and a whole answer
"""
