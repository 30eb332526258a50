"""DuckDB without access to files and network, and the SQL conversions that several adapters share.

Read `connection`, then `conversions`.
"""
