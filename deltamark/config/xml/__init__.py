"""The XML form of a configuration, read and written by one set of tables.

Read `schema` (the elements), then `reader` and `writer`; `safety` refuses dangerous files first.
"""
