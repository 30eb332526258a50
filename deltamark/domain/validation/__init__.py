"""Faults that keep a configuration from running, and warnings about probable mistakes.

Read `validate` and `warnings`; each of the other modules checks one part.
"""
