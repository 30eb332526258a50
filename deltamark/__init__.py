"""Deltamark: event-sourced change tracking."""
