"""Questions about the past: changes, state at a moment, differences, audit.

Read `history` first.
"""
