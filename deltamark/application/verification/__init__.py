"""Recomputes derived values, compares them with the stored ones, and repairs them.

Read `verify`, then `recompute`.
"""
