"""Rebuilding a store as it was at a moment, in a new one.

Read `replay_until`, then `derived_steps`.
"""
