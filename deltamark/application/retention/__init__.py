"""Discards old changes and erases resources, each in a run of its own.

Read `eligibility` (what may be discarded), then `retain` and `erase`.
"""
