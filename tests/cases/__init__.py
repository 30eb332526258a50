"""Reported faults: each folder is a small input that once gave a wrong result or a wrong statement.

`configuration/1.xml`, `2.xml` … are the configuration of the first, second … step (without a file of that number, the
previous one applies), `exports-1`, `exports-2` … the extracts of the steps. `expected.md` says what is right, and where
the fault was reported first. The tests are in `test_*.py`, by kind of fault, each with inputs like the reported one.
"""
