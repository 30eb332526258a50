"""Delivering changes to sinks, and what sinks refused for good. Read `deliver` first."""
