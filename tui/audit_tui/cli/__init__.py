"""The `audit-tui` command.

app.py    audit-tui [URL]: what it is given, and what becomes of the terminal
check.py  audit-tui check: evidence or an export verified without a daemon or a screen
"""
