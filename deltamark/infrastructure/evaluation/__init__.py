"""Evaluates expressions for many resources at once, in DuckDB.

Read `evaluator`, then `property_sql` and `rule_sql`.
"""
