"""User functions."""
