"""Transformations of connection tables."""
