"""Starts jobs when they are due; elects a leader; reports health.

Read `due`, then `scheduler`.
"""
