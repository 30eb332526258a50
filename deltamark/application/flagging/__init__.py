"""Marks resources as dirty after changes, lists them, and explains why they are.

Read `flag`, then `explain`.
"""
