"""The two aggregates, resource and link, with the events that change them.

Read `events`, then `resource`, then `link`.
"""
