"""Stores on the recorders of the eventsourcing library."""
