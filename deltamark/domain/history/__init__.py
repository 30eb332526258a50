"""The past as the log tells it: changes, differences between two moments, intervals.

Read `changes` first.
"""
