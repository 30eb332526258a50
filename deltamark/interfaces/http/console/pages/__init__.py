"""The pages of the console: what each asks the engine, and the routes that show it.

Read `overview` first: each module has a class with what its template shows, a function that asks the engine for it, and
the routes.
"""
