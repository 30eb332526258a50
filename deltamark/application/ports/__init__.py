"""The interfaces that adapters implement (store, extracts, comparer, evaluator), and the records that cross them.

Read `store` first.
"""
