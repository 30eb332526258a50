"""Synchronization."""
