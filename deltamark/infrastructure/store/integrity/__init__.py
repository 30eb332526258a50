"""Verifies the digests of the log, compares the state with it, rebuilds and copies stores.

Read `chain`, then `rebuild`.
"""
