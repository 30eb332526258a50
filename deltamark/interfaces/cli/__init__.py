"""The command line: parses options, calls the engine, renders results.

Read `main`, then `context`, then one of `commands`.
"""
