"""What a configuration consists of: entity model, rules, jobs and their schedules.

Read `entity_model`, `rules` and `jobs`, then `configuration`, which holds them all.
"""
