"""The store on SQLite or PostgreSQL, built on the recorders of the eventsourcing library.

Read `tables`, then `transactions`, which joins all queries and commands.
"""
