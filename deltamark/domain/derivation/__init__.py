"""Derived values: what they depend on, in which order and by which task they are computed, and why they are dirty.

Read `derivations`, `dependency_paths`, then `plan`.
"""
