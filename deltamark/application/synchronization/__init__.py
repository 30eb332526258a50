"""From extracts to changes in the log: comparison, thresholds, links that wait for a resource.

Read `prepare`, then `synchronize`, then `threshold_check`.
"""
