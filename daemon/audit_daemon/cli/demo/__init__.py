"""`audit-stream demo`: a start without any set-up, in the console or told in five steps.

command.py    the command and its options
run.py        set up, tear down whatever happens, signals, the exit code
console.py    on a terminal: the console over a daemon that the producers fill
story.py      the five steps, read from top to bottom
screen.py     how they are printed, on a terminal and without one
daemon.py     the daemon as a child process
child.py      what runs in that process
producers.py  five services that post what events.jsonl holds
tampering.py  what somebody with write access does to a copy of the file
events.jsonl  bodies of the shapes that published producers send
"""
