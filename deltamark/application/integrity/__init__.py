"""Verifies, replays and backs up the log."""
