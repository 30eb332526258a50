"""Python functions of users as tasks.

Read `decorator`, then `batches`, which calls a function and checks its results.
"""
