"""From extracts to changes in the log: comparison, thresholds, and waiting links.

Read `prepare`, then `synchronize`, then `threshold_check`.
"""
