"""Faults that keep a configuration from running, and warnings about what is probably not meant.

Read `validate` and `warnings`; each of the other modules checks one part.
"""
