"""DuckDB without files and network, and the SQL conversions that adapters share.

Read `connection`, then `conversions`.
"""
