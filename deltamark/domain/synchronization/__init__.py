"""Thresholds: how much a synchronization may change."""
