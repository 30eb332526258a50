"""The embedded store: one SQLite file, for one machine.

Read `store` first.
"""
