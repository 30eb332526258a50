"""The interfaces that adapters implement, and the records that cross them.

There are ports for the store, extracts, the comparer and the evaluator.

Read `store` first.
"""
