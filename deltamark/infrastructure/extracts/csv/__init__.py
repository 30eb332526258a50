"""The CSV format: dialect, grammar, normalization.

Read `cells` first.
"""
