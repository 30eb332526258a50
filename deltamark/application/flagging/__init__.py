"""Marks resources as dirty after changes, lists them, and explains why they are.

Read `flag`, then `explain`. What is due, and what follows from it, is in `deltamark.application.derivation.due`.
"""
