"""The console's state: plain classes without a screen, a socket or a clock of their own.

What comes in
    rows.py, ring.py        an event and its place in the chain; the last 50,000 that came in, checked one by one
    hash_history.py         the hashes of those that had to go
    passing.py, part.py, view.py    which pass the filter; a part of the log; the window of parts that the table shows
    searching.py            how far a search through the history has come
    cursor.py               where in the window one is, and what is selected
    activity.py, tallies.py counts, rates and silences of kinds and sources

What may be believed
    integrity.py            the verdicts weighed against what this console saw itself
    verdicts.py             who gives the verdicts, the last of them, and when the next is due
    alerts.py               what is held against the log, until it is over and a person has acknowledged it
    badge.py                what the badge says of a snapshot of these
    findings.py             what was found, by whom and when
    part_verdict.py         what holds of a part of a log
    cuts.py, cut_report.py  events that the log no longer holds
    integrity_report.py, breakage.py    all that in words

What is asked for
    filter_text.py, completion.py, find.py, places.py    typed texts
    columns.py, detail.py, detail_text.py, outline.py    what is shown of an event
    event_diff.py, divergence.py                         two events, and two histories, compared
    neighbours.py                                        the event before, and the next that passes a filter
    collect.py, exporting.py, handover.py                evidence; files; marked events
    connection.py                                        the connection in words
"""
