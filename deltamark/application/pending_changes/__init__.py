"""Pending changes."""
