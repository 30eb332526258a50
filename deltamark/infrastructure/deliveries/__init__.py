"""Deliveries in folders, whole or not there, and reading their tables as extracts.

Read `folder` first.
"""
