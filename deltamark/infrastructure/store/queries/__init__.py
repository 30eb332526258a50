"""What reads the store, one module for each group of tables.

Read `log` and `state` first.
"""
