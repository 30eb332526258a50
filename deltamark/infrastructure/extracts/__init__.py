"""Reads and cleanses extracts: the files of source systems.

Read `folder`, then `cells` and `formats` (what a format is), `query` and `cleanse` (how rows are checked).
"""
