"""Simulating another configuration over a state of the store, in a store of its own that is removed afterwards.

Read `simulate` first: `seed` fills that store, `differences` compares it before and after.
"""
