"""The `audit-stream` command: the daemon and its tools.

app.py           where it starts
start.py         the daemon's start, which goes on without any of the rest
commands.py      the commands' names, exit codes, and one line for every error
serve.py         audit-stream [serve]
verify.py        audit-stream verify
tail.py          audit-stream tail
query.py         audit-stream query
stats.py         audit-stream stats
emit.py          audit-stream emit
export.py        audit-stream export
import_chain.py  audit-stream import
demo/            audit-stream demo
completion.py    audit-stream --install-completion
options.py       options that several commands share
refusals.py      what a daemon refuses, said of what was typed
exports.py       reading an exported chain
lines.py         an event as a line for people
errors.py        exit codes, and the error that ends a command
terminal.py      what may go to a terminal, colours, progress bars
"""
