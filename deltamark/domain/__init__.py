"""The rules of Deltamark: pure data and decisions, without input or output.

Read `configuration`, then `resources` and `history`, then `derivation` and `runs`.
"""
