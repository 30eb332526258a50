"""Configurations as part of history."""
