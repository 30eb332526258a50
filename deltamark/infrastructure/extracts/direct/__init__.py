"""Reads the connection tables that a program gives in the place of files.

Read `sources` (what a program may give), then `spool` (how it is kept for its run) and `tables`.
"""
