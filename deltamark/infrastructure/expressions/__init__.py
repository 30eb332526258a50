"""Compiles the expressions of a configuration to SQL for DuckDB.

Only what is on an allow-list passes.

Read `compiler`, then `parser` and `translator`.
"""
