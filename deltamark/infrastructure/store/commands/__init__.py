"""What writes to the store, one module for each group of tables.

Read `append` first: it writes changes to the log and to the state.
"""
