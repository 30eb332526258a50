"""Signed files of checkpoints, and their keys."""
