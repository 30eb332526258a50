"""Flags: which resources are dirty, and how far the flagging has read the log."""

FLAG_PROJECTION = "*flags*"
"""The name under which the flag projection keeps its place; no task can be called that."""
