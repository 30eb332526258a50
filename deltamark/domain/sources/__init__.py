"""Deliveries of connections, and how far the source of each was applied: the place, and the events that move it.

Read `places` first.
"""
