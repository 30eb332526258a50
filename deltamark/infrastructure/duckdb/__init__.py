"""Set-wise work on Arrow tables, done by DuckDB."""
