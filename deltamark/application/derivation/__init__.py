"""From dirty flags to computed properties, correlation keys and classifications.

Read `workload` (what must be computed now), then `compute_properties` and `compute_rules`.
"""
