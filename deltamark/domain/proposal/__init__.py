"""A configuration proposed for tables of which nothing is known but what they hold.

Read `proposal` first.
"""
