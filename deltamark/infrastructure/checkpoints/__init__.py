"""Checkpoints in files, signed and checked."""
