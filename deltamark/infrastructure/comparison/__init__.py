"""Compares extracts with the stored state, set-wise, in DuckDB.

Read `comparer` first.
"""
