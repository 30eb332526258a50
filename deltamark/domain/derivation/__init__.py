"""Derived values: their dependencies, the order of computation, and why they are dirty.

Read `derivations`, `dependency_paths`, then `plan`.
"""
