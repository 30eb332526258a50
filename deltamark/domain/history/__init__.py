"""Read models of the log: changes, differences between two moments, intervals.

Read `changes` first.
"""
