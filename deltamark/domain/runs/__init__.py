"""The run aggregate: its events, its state, and which tasks run, are skipped or run again.

Read `run`, then `fold`, `outcomes` and `resume`.
"""
