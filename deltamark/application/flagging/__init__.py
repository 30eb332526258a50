"""Flagging."""
