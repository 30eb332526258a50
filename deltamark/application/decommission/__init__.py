"""Deciding about what nothing feeds any more: it is deleted or frozen, on record.

Read `decommission` first.
"""
