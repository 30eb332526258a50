"""Reads and cleanses extracts: the files of source systems.

Read `folder`, then `cleanse` and `query`.
"""
