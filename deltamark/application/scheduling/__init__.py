"""Starts jobs when they are due, elects a leader, and reports health.

Read `due`, then `scheduler`.
"""
