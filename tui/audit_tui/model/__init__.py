"""The console's state: plain classes without a screen, a socket or a clock of their own.

rows.py        an event as the console holds it, and what it knows of its place in the chain
ring.py        the last events that came in, checked one by one
"""
