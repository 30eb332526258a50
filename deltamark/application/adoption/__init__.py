"""Adopting configurations, and the configurations of the past.

Read `configurations` first.
"""
