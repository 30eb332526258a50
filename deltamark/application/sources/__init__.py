"""Reading connections into deliveries, and how far the source of each was applied.

Read `export` first, then `places`.
"""
