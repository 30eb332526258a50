"""Verifies, replays and backs up the log, and keeps what verifications found."""
