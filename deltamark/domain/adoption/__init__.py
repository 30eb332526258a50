"""The configuration as part of history: its adoption as an event, and what differs between two configurations.

Read `configuration_adopted` first.
"""
